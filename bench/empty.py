"""The least that an answer costs: Flask behind the same gunicorn, without a database or anything of
ours.
"""

from flask import Flask

app = Flask("empty", static_folder=None)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def answer(path: str) -> bytes:
    return b"{}"

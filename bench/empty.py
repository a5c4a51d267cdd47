"""The minimum cost of a response: Flask behind the same gunicorn, without a database."""

from flask import Flask

app = Flask("empty", static_folder=None)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def respond(path: str) -> bytes:
    return b"{}"

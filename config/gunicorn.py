"""gunicorn's settings (it reads the module's names): threads, this machine only, request lines left to the app to judge."""

import os

bind = f"127.0.0.1:{os.environ.get('PORT') or 8000}"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = 8
timeout = 300  # seconds without a sign of life from a worker process; a long download does not count, threads serve it
graceful_timeout = 10
keepalive = 5
limit_request_line = 0  # gunicorn cuts at 1 MiB; below that the app answers 414 with a JSON body
limit_request_field_size = 16380
control_socket_disable = True  # it would be a file in the home folder of whoever starts us
errorlog = "-"

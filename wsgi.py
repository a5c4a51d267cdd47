"""Where a web server finds the application: gunicorn runs `wsgi:app`."""

import sys

from config.logging import configure
from config.settings import BadSetting, Settings
from oclapi.app import build_services, create_app, prepare
from oclapi.errors import WrongFormat

try:
    settings = Settings.load()
    configure(settings.log_level)
    services = build_services(settings)
    prepare(services)
except (BadSetting, WrongFormat) as error:
    sys.stderr.write(f"oclapi: {error}\n")
    # gunicorn starts a process again after any other status.
    sys.exit(3)

app = create_app(services)

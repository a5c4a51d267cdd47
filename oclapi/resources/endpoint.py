"""The base class of all resources."""

import flask_restful

from oclapi.access import Caller
from oclapi.exports.state import ExportStates
from oclapi.resources import auth
from oclapi.services import Services


class Endpoint(flask_restful.Resource):
    """A resource. It reads the request, makes one call, and presents the result.

    `path` contains the path parameters of the URL by name.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.settings = services.settings
        self.store = services.store

    @property
    def caller(self) -> Caller:
        return auth.caller()

    @property
    def exports(self) -> ExportStates:
        return ExportStates(self.store.exports, self.services.queue, self.settings.export_silence)

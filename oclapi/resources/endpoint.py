"""The base class of all resources."""

from typing import Any, ClassVar

import flask_restful
from flask import Response, request

from oclapi.access import Caller
from oclapi.exports.state import ExportStates
from oclapi.resources import auth, params, responses
from oclapi.resources.described import EndpointDoc
from oclapi.services import Services


class Endpoint(flask_restful.Resource):
    """A resource. It reads the request, makes one call, and presents the result.

    `path` contains the path parameters of the URL by name.
    """

    about: ClassVar[EndpointDoc]

    def __init__(self, services: Services) -> None:
        self.services = services
        self.settings = services.settings
        self.store = services.store

    def dispatch_request(self, *args: Any, **path: Any) -> Response:
        """Answer the request. Every list and detail is a ZIP if the client asks for one."""
        response: Response = super().dispatch_request(*args, **path)
        if params.wants_zip():
            return responses.as_zip(response, head=request.method == "HEAD")
        return response

    @property
    def caller(self) -> Caller:
        return auth.caller()

    @property
    def exports(self) -> ExportStates:
        return ExportStates(self.store.exports, self.services.queue, self.settings.export_silence)

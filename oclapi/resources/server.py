"""The version of the server (contract section 3)."""

from flask import Response

from oclapi import __version__
from oclapi.resources import described, shapes
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import ok


class ServerVersion(Endpoint):
    """The version of the software."""

    about = described.EndpointDoc(tag="Server", returns=shapes.ServerVersion)

    def get(self) -> Response:
        return ok({"version": __version__})

"""The paths of the reference itself, in the form of oclapi/resources/routes.py."""

from oclapi.reference import openapi, page
from oclapi.resources.endpoint import Endpoint

ROUTES: tuple[tuple[str, type[Endpoint]], ...] = (
    ("/openapi.json/", openapi.Document),
    ("/docs/", page.Reference),
    ("/docs/:key", page.ReferenceFile),
)

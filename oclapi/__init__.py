"""A terminology server with the API of Open Concept Lab (OCL)."""

import sys
from pathlib import Path

__version__ = "0.1.0"

# Only an installed wheel has this folder. It contains the packages `config`, `jobs` and `search`
# and the module `wsgi`, which are next to `oclapi` in a checkout.
_SERVER = Path(__file__).parent / "server"
if _SERVER.is_dir():
    sys.path.insert(0, str(_SERVER))

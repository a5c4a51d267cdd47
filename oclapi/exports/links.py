"""Signed links to archives. A link gives access to one file until it expires."""

import hashlib
import re
from datetime import datetime, timedelta

from itsdangerous import Signer

from oclapi.errors import LinkRefused


class ExportLinks:
    """Signs and checks the last five segments of a link's path.

    They are version, file token, expiry in seconds since 1970, signature and file name. There is no
    query string, because many tools lose it.
    """

    def __init__(self, secret: str, life: int) -> None:
        """`life` is the number of seconds until a link expires."""
        self._signer = Signer(
            secret, salt="export-link", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._life = timedelta(seconds=life)

    def sign(
        self, version_id: str, token: str, file_name: str, now: datetime, *, private: bool
    ) -> str:
        """Return the relative path of a link, without a slash at either end.

        The three parts must contain only characters that are allowed in a path. `private`: the
        caller may read the repository though it is private.
        """
        expires = str(int((now + self._life).timestamp()))
        signature = self._signer.get_signature(
            _signed(version_id, token, expires, file_name, private)
        ).decode()
        return f"{version_id}/{token}/{expires}/{signature}/{file_name}"

    def check(
        self,
        version_id: str,
        token: str,
        expires: str,
        signature: str,
        file_name: str,
        now: datetime,
    ) -> bool:
        """Return whether the link is valid for a private repository too.

        Raises LinkRefused when a part was changed or the link has expired.
        """
        for private in (False, True):
            signed = _signed(version_id, token, expires, file_name, private)
            if self._signer.verify_signature(signed, signature):
                break
        else:
            raise LinkRefused("the signature of this link is invalid")
        if not re.fullmatch(r"[0-9]{1,12}", expires) or now.timestamp() > int(expires):
            raise LinkRefused("this link has expired; request the export again to get a new one")
        return private


def _signed(version_id: str, token: str, expires: str, file_name: str, private: bool) -> bytes:
    parts = (version_id, token, expires, file_name, *(["private"] if private else []))
    return "/".join(parts).encode()

"""Signed links to archives: whoever holds one may fetch that file until it expires."""

import hashlib
import re
from datetime import datetime, timedelta

from itsdangerous import Signer

from oclapi.errors import LinkRefused


class ExportLinks:
    """Signs and checks the last five steps of a link's path: version, file token, expiry,
    signature, file name.

    The expiry is in seconds since 1970. There is no query string, because logs cut a path less
    often than they keep a query.
    """

    def __init__(self, secret: str, life: int) -> None:
        """`life`: how many seconds a link can be used."""
        self._signer = Signer(
            secret, salt="export-link", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._life = timedelta(seconds=life)

    def sign(self, version_id: str, token: str, file_name: str, now: datetime) -> str:
        """The relative path of a link, without a slash at either end. All three parts hold only
        characters that a path may hold.
        """
        expires = str(int((now + self._life).timestamp()))
        signature = self._signer.get_signature(
            _signed(version_id, token, expires, file_name)
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
    ) -> None:
        """Raises LinkRefused when a part was changed, or the time is over."""
        if not self._signer.verify_signature(
            _signed(version_id, token, expires, file_name), signature
        ):
            raise LinkRefused("the signature of this link is wrong")
        if not re.fullmatch(r"[0-9]{1,12}", expires) or now.timestamp() > int(expires):
            raise LinkRefused("this link has expired; ask for the export again to get a new one")


def _signed(*parts: str) -> bytes:
    return "/".join(parts).encode()

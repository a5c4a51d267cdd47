"""Outgoing mail: to files for local runs, or to an SMTP server."""

import os
import smtplib
import ssl
import uuid
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

TIMEOUT = 5.0
"""Most seconds for each step of an SMTP server. The worker that waits has other duties."""
PORTS = {"smtp": 587, "smtps": 465}


class MailError(Exception):
    """The mail could not be sent. The text gives the reason and contains no secret."""


class MailSender(Protocol):
    """Sends mails at least once.

    A mail is sent twice when the worker is killed before it has stored that the mail was sent.
    """

    def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail. Raises MailError."""


class FileSender:
    """Writes each mail to a new file, readable by this user only."""

    def __init__(self, folder: str, sender: str) -> None:
        self._folder = Path(folder)
        self._sender = sender

    def send(self, to: str, subject: str, text: str) -> None:
        name = uuid.uuid4().hex
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(
                os.open(self._folder / f"{name}.part", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
                "wb",
            ) as file:
                file.write(bytes(message(self._sender, to, subject, text)))
            (self._folder / f"{name}.part").rename(self._folder / f"{name}.eml")
        except OSError as error:
            raise MailError(f"the mail folder can't be written: {error.strerror}") from error


class SmtpSender:
    """Sends mails through an SMTP server.

    `smtp://[user:password@]host[:port]` uses encryption if the server offers it, `smtps://` always.
    """

    def __init__(self, url: str, sender: str) -> None:
        self._url = urlsplit(url)
        self._sender = sender

    def send(self, to: str, subject: str, text: str) -> None:
        host, port = self._url.hostname or "", self._url.port or PORTS[self._url.scheme]
        try:
            with self._connected(host, port) as server:
                if self._url.username is not None:
                    server.login(unquote(self._url.username), unquote(self._url.password or ""))
                server.send_message(message(self._sender, to, subject, text))
        # ValueError: an address that the server can't take
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise MailError(f"the mail server refused it: {type(error).__name__}") from error

    def _connected(self, host: str, port: int) -> smtplib.SMTP:
        safe = ssl.create_default_context()
        if self._url.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=safe)
        server = smtplib.SMTP(host, port, timeout=TIMEOUT)
        try:
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=safe)
            elif self._url.username is not None:
                raise smtplib.SMTPNotSupportedError(
                    "a password is sent over an encrypted connection only"
                )
        except BaseException:
            server.close()
            raise
        return server


def mail_sender(where: str, sender: str) -> MailSender:
    """Return the sender for the value of `OCL_MAIL`: a folder or an SMTP server."""
    return (
        SmtpSender(where, sender) if urlsplit(where).scheme in PORTS else FileSender(where, sender)
    )


def message(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    """Return a mail. Raises ValueError for a line break in a header."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"], mail["Message-ID"] = (
        formatdate(),
        make_msgid(domain=sender.rpartition("@")[2] or "localhost"),
    )
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    return mail

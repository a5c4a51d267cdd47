"""The duty that sends queued mail."""

import logging
import time
from datetime import datetime

from oclapi.mail import MailError, mail_sender
from oclapi.services import Services

log = logging.getLogger(__name__)

SENDING_TIME = 1.0
"""Seconds of one tick after which no further mail is sent."""


def send_mails(s: Services, now: datetime) -> None:
    """Send the mails that are due.

    A mail that fails is tried again for two days. The others then wait for the next tick.
    """
    end = time.monotonic() + SENDING_TIME
    sender = mail_sender(s.settings.mail, s.settings.mail_from)
    while time.monotonic() < end and (mail := s.store.mails.next(now)):
        try:
            sender.send(mail["to"], mail["subject"], mail["text"])
        except MailError as error:
            kept = s.store.mails.failed(mail, now)
            facts = {"mail": mail["_id"], "tries": mail["tries"], "reason": str(error)}
            log.warning("mail not sent" if kept else "mail given up", extra=facts)
            return
        s.store.mails.sent(mail)
        log.info("mail sent", extra={"mail": mail["_id"]})

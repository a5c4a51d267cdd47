"""Sending the mails that wait."""

import logging
import time
from datetime import datetime

from oclapi.mail import MailError, mail_sender
from oclapi.services import Services

log = logging.getLogger(__name__)

SENDING_TIME = 1.0
"""Seconds of one tick after which no further mail is begun."""


def send_mails(s: Services, now: datetime) -> None:
    """Send what is due. A mail that is not taken is tried again for two days; the next ones wait
    for the next tick.
    """
    end = time.monotonic() + SENDING_TIME
    sender = mail_sender(s.settings.mail, s.settings.mail_from)
    while time.monotonic() < end and (mail := s.store.mails.next(now)):
        try:
            sender.send(mail["to"], mail["subject"], mail["text"])
        except MailError as error:
            kept = s.store.mails.failed(mail, now)
            told = {"mail": mail["_id"], "tries": mail["tries"], "reason": str(error)}
            log.warning("mail not sent" if kept else "mail given up", extra=told)
            return
        s.store.mails.sent(mail)
        log.info("mail sent", extra={"mail": mail["_id"]})

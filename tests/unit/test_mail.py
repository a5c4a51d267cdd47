"""Mail on its way out."""

import email
import stat
from email.policy import default

import pytest

from oclapi.local.servers import free_port
from oclapi.mail import FileSender, MailError, SmtpSender, mail_sender, message


def test_a_mail_becomes_a_file_that_others_can_not_read(tmp_path):
    sender = mail_sender(str(tmp_path / "mail"), "oclapi@example.org")
    sender.send("amina@example.org", "Welcome", "Bonjour à tous\nhttps://example.org/x\n")

    [file] = (tmp_path / "mail").iterdir()
    sent = email.message_from_bytes(file.read_bytes(), policy=default)
    assert (sent["To"], sent["From"], sent["Subject"]) == ("amina@example.org", "oclapi@example.org", "Welcome")
    assert sent.get_content() == "Bonjour à tous\nhttps://example.org/x\n"
    assert (file.suffix, stat.S_IMODE(file.stat().st_mode)) == (".eml", 0o600)


def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MailError, match="folder"):
        FileSender(str(tmp_path / "file"), "x@example.org").send("a@b", "s", "t")


def test_nobody_adds_a_header():
    with pytest.raises(ValueError, match="linefeed"):
        message("x@example.org", "a@b\nBcc: c@d", "s", "t")


def test_a_server_that_is_away_is_told_without_its_password():
    sender = mail_sender(f"smtp://user:secret@127.0.0.1:{free_port()}", "x@example.org")

    assert isinstance(sender, SmtpSender)
    with pytest.raises(MailError) as caught:
        sender.send("a@b", "s", "t")
    assert "secret" not in str(caught.value)

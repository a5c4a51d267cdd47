"""Sending mail."""

import email
import socketserver
import stat
import threading
from contextlib import contextmanager
from email.policy import default

import pytest

from oclapi.local.servers import free_port
from oclapi.mail import FileSender, MailError, SmtpSender, mail_sender, message


def test_a_mail_becomes_a_file_that_others_can_not_read(tmp_path):
    sender = mail_sender(str(tmp_path / "mail"), "oclapi@example.org")
    sender.send("amina@example.org", "Welcome", "Bonjour à tous\nhttps://example.org/x\n")

    [file] = (tmp_path / "mail").iterdir()
    sent = email.message_from_bytes(file.read_bytes(), policy=default)
    assert (sent["To"], sent["From"], sent["Subject"]) == (
        "amina@example.org",
        "oclapi@example.org",
        "Welcome",
    )
    assert sent.get_content() == "Bonjour à tous\nhttps://example.org/x\n"
    assert (file.suffix, stat.S_IMODE(file.stat().st_mode)) == (".eml", 0o600)


def test_a_folder_that_can_not_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MailError, match="folder"):
        FileSender(str(tmp_path / "file"), "x@example.org").send("a@b", "s", "t")


def test_an_address_can_not_add_a_header():
    with pytest.raises(ValueError, match="linefeed"):
        message("x@example.org", "a@b\nBcc: c@d", "s", "t")


def test_an_unreachable_server_is_reported_without_its_password():
    sender = mail_sender(f"smtp://user:secret@127.0.0.1:{free_port()}", "x@example.org")

    assert isinstance(sender, SmtpSender)
    with pytest.raises(MailError) as caught:
        sender.send("a@b", "s", "t")
    assert "secret" not in str(caught.value)


@contextmanager
def mail_server(refused=()):
    """Yield the port of an SMTP server without encryption, and the lines that it receives.

    It responds with 550 to the commands in `refused`.
    """
    heard = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.say("220 ready")
            in_data = False
            for sent in self.rfile:
                line = sent.decode().rstrip("\r\n")
                heard.append(line)
                command = line.split(":")[0].split(" ")[0].upper()
                if in_data:
                    in_data = line != "."
                    if not in_data:
                        self.say("250 kept")
                elif command in refused:
                    self.say("550 no")
                else:
                    in_data = command == "DATA"
                    self.say(
                        {"EHLO": "250 here", "DATA": "354 go on", "QUIT": "221 bye"}.get(
                            command, "250 fine"
                        )
                    )

        def say(self, line):
            self.wfile.write(f"{line}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1], heard
        finally:
            server.shutdown()
            thread.join()


def test_a_mail_reaches_a_server():
    with mail_server() as (port, heard):
        mail_sender(f"smtp://127.0.0.1:{port}", "oclapi@example.org").send(
            "amina@example.org", "Welcome", "Come in\n.\nplease\n"
        )

    start, end = heard.index("data") + 1, heard.index(".")
    sent = email.message_from_string(
        "\n".join(line.removeprefix(".") for line in heard[start:end]), policy=default
    )
    assert heard[1].lower().startswith("mail from:<oclapi@example.org>")
    assert heard[2].lower() == "rcpt to:<amina@example.org>"
    assert (sent["To"], sent["Subject"], sent.get_content()) == (
        "amina@example.org",
        "Welcome",
        "Come in\n.\nplease",
    )


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_refuses_is_reported(command):
    with (
        mail_server({command}) as (port, _),
        pytest.raises(MailError, match="the mail server refused it: SMTP"),
    ):
        mail_sender(f"smtp://127.0.0.1:{port}", "oclapi@example.org").send(
            "amina@example.org", "s", "t"
        )


def test_a_password_is_not_sent_without_encryption():
    with mail_server() as (port, heard), pytest.raises(MailError):
        mail_sender(f"smtp://user:secret@127.0.0.1:{port}", "oclapi@example.org").send(
            "amina@example.org", "s", "t"
        )
    assert [line.split()[0] for line in heard] == ["ehlo"]

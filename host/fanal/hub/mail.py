"""Messages by e-mail. In the clear only to a mail server on this computer."""

import json
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from urllib.parse import urlsplit

from fanal.hub import cap, message
from fanal.hub.channel_config import CAP, FULL, Channel, is_loopback
from fanal.hub.parcel import ChannelDown, Parcel

_TIMEOUT_S = 20.0
_PORTS = {"smtp": 587, "smtps": 465}


class Mail:
    """Sends to one channel's addresses. context: for TLS, None for the system's authorities."""

    def __init__(self, channel: Channel, context: ssl.SSLContext | None = None) -> None:
        self._channel = channel
        parts = urlsplit(channel.smtp)
        self._host = parts.hostname or "localhost"
        self._scheme = parts.scheme
        self._port = parts.port or _PORTS[parts.scheme]
        self._context = context

    def __repr__(self) -> str:
        return "Mail()"

    def __call__(self, parcel: Parcel) -> str:
        """Send one. Raises ChannelDown. Returns how many addresses the server refused, if any."""
        letter = written(parcel, self._channel)
        try:
            with self._connected() as server:
                if self._channel.smtp_user:
                    server.login(self._channel.smtp_user, self._password())
                refused = server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as problem:
            raise ChannelDown(f"All {len(problem.recipients)} addresses were refused.",
                              code="refused") from None  # fmt: skip
        except smtplib.SMTPResponseException as problem:
            # 5xx on a letter is for ever; a login that fails is the channel's
            is_letter = isinstance(problem, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused))
            is_refused = is_letter and problem.smtp_code >= 500
            raise ChannelDown(f"The mail server answered {problem.smtp_code}.",
                              code="refused" if is_refused else "down") from None  # fmt: skip
        except (smtplib.SMTPException, OSError) as problem:
            raise ChannelDown(f"The mail server failed ({type(problem).__name__}).") from None
        return f"{len(refused)} of {len(self._channel.to)} addresses refused it" if refused else ""

    def _connected(self) -> smtplib.SMTP:
        if self._scheme == "smtps":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=_TIMEOUT_S, context=self._tls())
        server = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_S)
        if not is_loopback(self._host):
            try:
                server.starttls(context=self._tls())
            except BaseException:
                server.close()
                raise
        return server

    def _tls(self) -> ssl.SSLContext:
        return self._context or ssl.create_default_context()

    def _password(self) -> str:
        path = self._channel.smtp_password_file
        try:
            if path is None:
                raise ChannelDown("It has no smtp_password_file.")
            return path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError):
            raise ChannelDown("Its smtp_password_file cannot be read.") from None


def written(parcel: Parcel, channel: Channel) -> EmailMessage:
    """Return the letter. Every header is one line, whatever is in the parcel."""
    letter = EmailMessage(policy=SMTP_POLICY)
    letter["Subject"] = message.headline(parcel.content)
    letter["From"] = channel.sender
    letter["To"] = ", ".join(channel.to)
    letter["Date"] = format_datetime(datetime.fromtimestamp(parcel.sent_ms // 1000, UTC))
    domain = channel.sender.rpartition("@")[2]
    letter["Message-ID"] = f"<fanal-{parcel.id}@{domain}>"
    if number := parcel.content["data"].get("number"):
        letter["References"] = f"<fanal-incident-{number}@{domain}>"  # so that they are one thread
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.in_words(parcel.content))
    if parcel.cap is not None:
        letter.add_attachment(cap.document(parcel.cap), maintype="application", subtype="cap+xml",
                              filename="alert.xml")  # fmt: skip
    elif channel.detail == FULL and channel.format != CAP:
        text = json.dumps(parcel.content, ensure_ascii=False, indent=1)
        letter.add_attachment(text.encode(), maintype="application", subtype="json",
                              filename="alert.json")  # fmt: skip
    return letter

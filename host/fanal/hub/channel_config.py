"""How a hub reaches people, as its configuration says: broker, channels, escalation."""

import ipaddress
import itertools
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fanal.hub.toml_table import Table
from fanal.sighting import ALERT, DRILL, TEST

WEBHOOK, MAIL, MQTT = "webhook", "mail", "mqtt"
JSON, CAP = "json", "cap"
FULL, MINIMAL = "full", "minimal"

_MOST_LEVELS = 8
_LONGEST_WAIT_S = 86_400


@dataclass(frozen=True)
class Broker:
    """An MQTT broker. url: "mqtts://host:8883"; foreign: topic filters of gateways people own."""

    url: str
    ca: Path | None = None
    user: str = ""
    password_file: Path | None = None
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Channel:
    """One way by which the hub tells people. kind: WEBHOOK, MAIL or MQTT; what the others do not
    need is "" or None.

    sender: `from` in the file. smtp: "smtp://host:port" (STARTTLS) or "smtps://host:port".
    format: JSON or CAP. detail: FULL or MINIMAL. kinds: which of ALERT, DRILL, TEST it wants.
    level: 0 at once, n when nobody acknowledged until escalation level n.
    """

    name: str
    kind: str
    url: str = ""
    secret_file: Path | None = None
    to: tuple[str, ...] = ()
    sender: str = ""
    smtp: str = ""
    smtp_user: str = ""
    smtp_password_file: Path | None = None
    topic: str = ""
    format: str = JSON
    detail: str = FULL
    kinds: tuple[str, ...] = (ALERT, DRILL)
    level: int = 0


@dataclass(frozen=True)
class Escalation:
    """after_s[i]: seconds after which an incident that nobody acknowledged reaches level i + 1."""

    after_s: tuple[int, ...] = (120, 300)


def read_broker(table: Table) -> Broker:
    """Return what [mqtt] says. Raises UsageError."""
    url = table.text("url")
    if not _is_guarded(url, "mqtt"):
        raise table.wrong("url", "is mqtts://host:port, or mqtt:// for this computer alone")
    broker = Broker(url, table.path("ca"), table.text("user", ""), table.path("password_file"),
                    table.texts("foreign"))  # fmt: skip
    if bool(broker.user) != (broker.password_file is not None):
        raise table.wrong("user", "goes with mqtt.password_file: set both or none")
    table.done()
    return broker


def read_channel(table: Table, broker: Broker | None, levels: int) -> Channel:
    """Return what one [[channel]] says. levels: of the escalation. Raises UsageError."""
    kind = table.choice("kind", (WEBHOOK, MAIL, MQTT))
    detail = MINIMAL if kind == MAIL else FULL
    channel = Channel(
        name=table.text("name"), kind=kind, url=table.text("url", ""),
        secret_file=table.path("secret_file"), to=table.texts("to"), sender=table.text("from", ""),
        smtp=table.text("smtp", ""), smtp_user=table.text("smtp_user", ""),
        smtp_password_file=table.path("smtp_password_file"), topic=table.text("topic", ""),
        format=table.choice("format", (JSON, CAP), JSON),
        detail=table.choice("detail", (FULL, MINIMAL), detail),
        kinds=table.texts("kinds", (ALERT, DRILL)), level=table.number("level", 0, 0, _MOST_LEVELS),
    )  # fmt: skip
    table.done()
    if not channel.kinds or set(channel.kinds) - {ALERT, DRILL, TEST}:
        raise table.wrong("kinds", f"is a list of {ALERT}, {DRILL} and {TEST}")
    if channel.level > levels:
        raise table.wrong("level", "is none that escalation.after_s reaches")
    _require_way(table, channel, broker)
    return channel


def _require_way(table: Table, channel: Channel, broker: Broker | None) -> None:
    """Raise UsageError if a channel lacks what its kind needs, or is open to whoever listens."""
    needed = {
        WEBHOOK: (("url", channel.url), ("secret_file", channel.secret_file)),
        MAIL: (("smtp", channel.smtp), ("from", channel.sender), ("to", channel.to)),
        MQTT: (("topic", channel.topic),),
    }[channel.kind]
    for key, value in needed:
        if not value:
            raise table.wrong(key, f"is needed for a channel of kind {channel.kind}")
    if channel.kind == WEBHOOK and not _is_guarded(channel.url, "http"):
        raise table.wrong("url", "is https://..., or http:// for this computer alone")
    if channel.kind == MAIL:
        smtp = plain_url(channel.smtp)
        if smtp is None or smtp.scheme not in ("smtp", "smtps"):
            raise table.wrong("smtp", "is smtp://host:587 (STARTTLS) or smtps://host:465")
        if bool(channel.smtp_user) != (channel.smtp_password_file is not None):
            raise table.wrong("smtp_user", "goes with smtp_password_file: set both or none")
        if not all(0 < one.find("@") < len(one) - 1 for one in (*channel.to, channel.sender)):
            raise table.wrong("to", "and from are e-mail addresses")
    if channel.kind == MQTT and (broker is None or set(channel.topic) & set("#+")):
        raise table.wrong("topic", "is one topic, without # and +, and needs the table [mqtt]")


def _is_guarded(url: str, scheme: str) -> bool:
    """Say whether a URL has TLS, or leads to this computer alone. scheme: the one without."""
    parts = plain_url(url)
    if parts is None:
        return False
    return parts.scheme == f"{scheme}s" or (
        parts.scheme == scheme and is_loopback(parts.hostname or "")
    )


def read_escalation(table: Table) -> Escalation:
    """Return what [escalation] says. Raises UsageError."""
    after_s = table.numbers("after_s", Escalation().after_s)
    in_order = all(early < late for early, late in itertools.pairwise(after_s))
    if len(after_s) > _MOST_LEVELS or not in_order or not all(
        0 < one <= _LONGEST_WAIT_S for one in after_s
    ):  # fmt: skip
        raise table.wrong("after_s", f"is up to {_MOST_LEVELS} growing numbers of seconds")
    table.done()
    return Escalation(after_s)


def is_loopback(host: str) -> bool:
    """Say whether a host's name or address is this computer and cannot be reached from another."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def plain_url(text: str) -> SplitResult | None:
    """Return the parts of a URL with a host and no password, None if it is something else."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    is_plain = parts.username is None and not parts.fragment and not set(text) & set(" \\")
    return parts if parts.hostname and is_plain else None

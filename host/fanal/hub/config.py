"""How a hub is set up: `hub.toml` in its folder, checked whole before anything starts.

Everything has a default: an empty file is a hub on this computer alone, with SQLite and no broker.
Secrets are in files that are named here, but for the database's URL, which is never shown.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL

from fanal.error import EnvironmentFault, UsageError
from fanal.hub.channel_config import (
    Broker,
    Channel,
    Escalation,
    is_loopback,
    plain_url,
    read_broker,
    read_channel,
    read_escalation,
)
from fanal.hub.toml_table import Table, mistake

CONFIG_FILE = "hub.toml"
DATABASE_FILE = "hub.db"
DEFAULT_BIND = "127.0.0.1:8060"

_ANY = ("0.0.0.0", "::")  # every address of this computer, and the name of none


@dataclass(frozen=True)
class Limits:
    """What the hub takes in. Frames and deliveries are per minute.

    listener_frames: of one enrolled listener; unconfirmed_listener_frames: of one that is not;
    unconfirmed_frames: of all those together; address_deliveries: by HTTP from one address;
    intake_mib: what may wait to be opened. late_days: how late an event that is over may still
    be heard of, see `anchors`.
    """

    listener_frames: int = 6000
    unconfirmed_listener_frames: int = 1200
    unconfirmed_frames: int = 3000
    address_deliveries: int = 600
    intake_mib: int = 32
    late_days: int = 7


@dataclass(frozen=True)
class Config:
    """A hub's configuration. host, port: where it listens (port 0: any free one).

    database: a SQLAlchemy URL, which may hold a password. public_url: how people reach the page,
    without a slash at the end. sender: of CAP messages. area: shown on the page.
    """

    folder: Path
    database: str | URL = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8060
    public_url: str = "http://127.0.0.1:8060"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    area: str = ""
    sender: str = "fanal-hub"
    mqtt: Broker | None = None
    channels: tuple[Channel, ...] = ()
    escalation: Escalation = field(default_factory=Escalation)
    limits: Limits = field(default_factory=Limits)

    @property
    def is_https(self) -> bool:
        """Whether browsers come by HTTPS."""
        return self.public_url.startswith("https://")


def load(folder: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Return the configuration of the hub in `folder`; without a file, the default one.

    overrides: keys of the table [hub] to take instead, such as "bind": from the command line.
    Raises UsageError, whose sentence names the key and quotes no value, and EnvironmentFault.
    """
    path = folder / CONFIG_FILE
    try:
        return parse(path.read_text(encoding="utf-8"), folder, overrides)
    except FileNotFoundError:
        return parse("", folder, overrides)
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise EnvironmentFault(
            f"{path} cannot be read: {reason}.", "Mend it, or take it from your backup."
        ) from None


def parse(text: str, folder: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Return the configuration that `text`, in TOML, says. Raises UsageError as `load` does."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        # its text may quote the file
        at = str(problem).rpartition(" (at ")[2].rstrip(")")
        raise UsageError(
            f"{CONFIG_FILE} is no valid TOML ({at}).",
            "Mend that place in it; text stands in quotes, as in the examples there.",
            code="config",
        ) from None
    top = Table("", content, folder)
    hub = top.table("hub") or Table("hub", {}, folder)
    hub.override(overrides or {})
    mqtt, escalation, limits = top.table("mqtt"), top.table("escalation"), top.table("limits")
    rows = top.tables("channel")
    top.done()
    broker = None if mqtt is None else read_broker(mqtt)
    levels = Escalation() if escalation is None else read_escalation(escalation)
    channels = tuple(read_channel(row, broker, len(levels.after_s)) for row in rows)
    if len({channel.name for channel in channels}) != len(channels):
        raise mistake("channel", "has one name twice")
    return _hub(hub, folder, broker, channels, levels,
                Limits() if limits is None else _limits(limits))  # fmt: skip


def _host_and_port(bind: str) -> tuple[str, int] | None:
    """Return host and port of "127.0.0.1:8060" or "[::1]:8060", None if it is neither."""
    try:
        parts = urlsplit(f"//{bind}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or port is None or parts.netloc != bind or parts.username is not None:
        return None
    return parts.hostname, port


def _require_guarded(host: str, *, has_tls: bool, behind_proxy: bool) -> None:
    """Raise UsageError if passwords would cross a network in the clear."""
    if not (is_loopback(host) or has_tls or behind_proxy):
        raise UsageError(
            "A hub that others can reach needs TLS: hub.bind is no address of this computer alone.",
            "Set hub.tls_cert and hub.tls_key, or hub.behind_proxy = true if a proxy does TLS.",
            code="no_tls",
        )


def _hub(
    table: Table,
    folder: Path,
    broker: Broker | None,
    channels: tuple[Channel, ...],
    escalation: Escalation,
    limits: Limits,
) -> Config:
    where = _host_and_port(table.text("bind", DEFAULT_BIND))
    if where is None:
        raise table.wrong("bind", "is written as address:port, such as 127.0.0.1:8060")
    host, port = where
    cert, key = table.path("tls_cert"), table.path("tls_key")
    if (cert is None) != (key is None):
        raise table.wrong("tls_cert", "goes with hub.tls_key: set both or none")
    behind_proxy = table.flag("behind_proxy", False)
    _require_guarded(host, has_tls=cert is not None, behind_proxy=behind_proxy)
    if host in _ANY and not table.has("public_url"):
        raise table.wrong("public_url", f"is needed, since bind is {host}: how is the hub reached?")
    shown = f"[{host}]" if ":" in host else host
    public = table.text("public_url", f"{'https' if cert else 'http'}://{shown}:{port}")
    if (parts := plain_url(public)) is None or parts.scheme not in ("http", "https") or parts.query:
        raise table.wrong("public_url", "is the address of the page, such as https://hub.example")
    sender = table.text("sender", "fanal-hub")
    if set(sender) & set(" ,<&"):
        raise table.wrong("sender", "has none of space, comma, < and & (CAP 1.2)")
    config = Config(
        folder, table.text("database", "") or _own_database(folder), host, port,
        public.rstrip("/"), cert, key, behind_proxy, table.text("area", ""), sender,
        broker, channels, escalation, limits,
    )  # fmt: skip
    table.done()
    return config


def _own_database(folder: Path) -> URL:
    # not as text: a folder's name may hold what means something in a URL
    return URL.create("sqlite", database=str((folder / DATABASE_FILE).absolute()))


def _limits(table: Table) -> Limits:
    usual, most = Limits(), 1_000_000
    limits = Limits(
        table.number("listener_frames", usual.listener_frames, 60, most),
        table.number("unconfirmed_listener_frames", usual.unconfirmed_listener_frames, 0, most),
        table.number("unconfirmed_frames", usual.unconfirmed_frames, 0, most),
        table.number("address_deliveries", usual.address_deliveries, 1, most),
        table.number("intake_mib", usual.intake_mib, 1, 1024),
        table.number("late_days", usual.late_days, 0, 90),
    )  # fmt: skip
    table.done()
    return limits

"""The hub's own connection to its MQTT broker, as `hub.toml` says."""

from pathlib import Path
from typing import Any

from fanal.error import EnvironmentFault
from fanal.hub.channel_config import Broker
from fanal.mqtt import Login, Mqtt


def connection(broker: Broker, **more: Any) -> Mqtt:
    """Return a connection, not yet open. more: what `Mqtt` takes beside address and login.

    The files are read anew each time: certificates and passwords change. Raises EnvironmentFault
    (a file), UsageError (what is in it).
    """
    ca_pem = None if broker.ca is None else _text(broker.ca)
    login = None
    if broker.password_file is not None:
        login = Login(broker.user, _text(broker.password_file).split("\n", 1)[0].rstrip("\r"))
    return Mqtt(broker.url, ca_pem=ca_pem, login=login, **more)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise EnvironmentFault(
            f"{path}, which [mqtt] names, cannot be read: {reason}.", "Mend it, or its rights."
        ) from None

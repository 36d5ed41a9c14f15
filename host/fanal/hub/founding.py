"""The beginning of a hub: a folder, its secrets, a configuration to edit, an empty database."""

from dataclasses import dataclass
from pathlib import Path

from fanal.error import IntegrityError, UsageError
from fanal.hub import config, keys
from fanal.hub.request import Request
from fanal.hub.store import Store
from fanal.keyring import write_private

# what a hub's folder may hold before there is a hub: the rest is somebody else's
_OURS = (config.CONFIG_FILE, config.DATABASE_FILE, keys.KEY_FILE, keys.SECRETS_FILE,
         keys.REQUEST_FILE)  # fmt: skip

TEMPLATE = """\
# The hub of a fleet. All of it may be left out: then the hub is for this computer alone.
# Restart the hub after a change; `fanal hub` says what is wrong with it, by the key's name.
# Paths are relative to this folder. What follows a # is off: these are examples.

[hub]
# bind = "127.0.0.1:8060"                  # others can reach it only with TLS, or behind a proxy
# public_url = "https://hub.example.org"   # as people and messages write it
# tls_cert = "hub.pem"
# tls_key = "hub.key"
# behind_proxy = true                      # a proxy does TLS; it sets X-Forwarded-For
# area = "North"
# sender = "hub.example.org"               # of CAP messages
# database = "postgresql://fanal@/fanal"   # when one machine is too small

# [mqtt]
# url = "mqtts://broker.example.org:8883"
# ca = "broker-ca.pem"
# user = "hub"
# password_file = "broker-password"
# foreign = ["home/TheengsGateway/BTtoMQTT/#"]

# [[channel]]
# name = "dispatch"
# kind = "webhook"
# url = "https://dispatch.example.org/fanal"
# secret_file = "dispatch-secret"
# format = "cap"                           # or "json"

# [[channel]]
# name = "duty officer"
# kind = "mail"
# smtp = "smtp://mail.example.org:587"
# smtp_user = "hub"
# smtp_password_file = "mail-password"
# from = "hub@example.org"
# to = ["duty@example.org"]
# detail = "minimal"                       # no beacon, no place
# kinds = ["ALERT", "DRILL"]
# level = 1                                # only if nobody acknowledged in time

# [[channel]]
# name = "siren"
# kind = "mqtt"
# topic = "alarm/siren"
# detail = "minimal"
# kinds = ["ALERT"]

[escalation]
# after_s = [120, 300]                     # nobody acknowledged: level 1, then level 2

[limits]
# listener_frames = 6000                   # a minute, of an enrolled listener
# unconfirmed_listener_frames = 1200
# unconfirmed_frames = 3000                # a minute, of all that are not enrolled
# address_deliveries = 600                 # a minute, by HTTP from one address
# intake_mib = 32
# late_days = 7                            # how late an event that is over may still come in
"""


@dataclass(frozen=True)
class Founded:
    """A hub's folder. request: what goes to the officer. is_new: False if it was there before."""

    folder: Path
    request: Request
    is_new: bool


def is_founded(folder: Path) -> bool:
    """Say whether there is a hub in `folder`."""
    return (folder / keys.KEY_FILE).exists()


def require_free(folder: Path) -> None:
    """Raise unless a hub may be made in `folder`: UsageError, or IntegrityError for a lost key."""
    if not folder.exists():
        return
    if (folder / config.DATABASE_FILE).exists():
        raise IntegrityError(
            f"There is a hub's database in {folder}, and {keys.KEY_FILE} is missing.",
            "Take it from your backup; without it begin anew in another folder.",
            code="missing",
        )
    if not folder.is_dir() or any(
        one.name not in _OURS and not one.name.startswith(".") for one in folder.iterdir()
    ):
        raise UsageError(
            f"{folder} is not empty.",
            f"Choose a new folder with --hub DIR. A {config.CONFIG_FILE} alone may be there;"
            " what it names comes afterwards.",
            code="not_empty",
        )


def found(folder: Path, passphrase: str) -> Founded:
    """Make a hub in `folder`, or complete one that was begun; a second time changes nothing.

    passphrase: not needed for one that is there. A hub.toml that is there already is kept, and is
    checked before anything is made. Raises UsageError, IntegrityError, EnvironmentFault.
    """
    is_new = not is_founded(folder)
    if is_new:
        require_free(folder)
    settings = config.load(folder)
    if is_new:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not (folder / config.CONFIG_FILE).exists():
            write_private(folder / config.CONFIG_FILE, TEMPLATE.encode())
        keys.create(folder, passphrase)
    Store(settings.database).close()
    own = folder / config.DATABASE_FILE
    if own.exists():
        own.chmod(0o600)
    return Founded(folder, keys.request_of(folder), is_new)

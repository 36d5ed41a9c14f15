"""The files that hub.toml names: looked at before a hub starts."""

import ssl
from pathlib import Path

from fanal.hub.config import CONFIG_FILE, Config
from fanal.hub.toml_table import mistake


def require_tls(config: Config) -> None:
    """Raise UsageError unless the files for TLS, if any, are there and belong together."""
    if config.tls_cert is None or config.tls_key is None:
        return
    for key, path in (("tls_cert", config.tls_cert), ("tls_key", config.tls_key)):
        if (reason := _unreadable(path)) is not None:
            raise mistake(f"hub.{key}", f"names a file that cannot be read: {reason}")
    try:
        # a password: without one, a sealed key would be asked about at the terminal
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            config.tls_cert, config.tls_key, password=""
        )
    except (OSError, ValueError):
        raise mistake(
            "hub.tls_cert", "and hub.tls_key are no certificate and its own unsealed key, in PEM"
        ) from None


def missing_files(config: Config) -> list[str]:
    """Return a sentence for each file that hub.toml names beside those for TLS, and that cannot
    be read: the hub runs without it, and what needs it fails."""
    named: list[tuple[str, Path | None]] = []
    if config.mqtt is not None:
        named += [("mqtt.ca", config.mqtt.ca), ("mqtt.password_file", config.mqtt.password_file)]
    for at, channel in enumerate(config.channels, 1):
        named += [(f"channel {at}.secret_file", channel.secret_file),
                  (f"channel {at}.smtp_password_file", channel.smtp_password_file)]  # fmt: skip
    reasons = ((key, None if path is None else _unreadable(path)) for key, path in named)
    return [
        f"In {CONFIG_FILE}, {key} names a file that cannot be read: {reason}."
        for key, reason in reasons
        if reason is not None
    ]


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as problem:
        return problem.strerror or type(problem).__name__
    return None

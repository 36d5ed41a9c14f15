"""What the systemd units of a listener and of a hub have in common: how names are written in one,
and what both of them must not do."""

from pathlib import Path

from fanal.error import UsageError

_CONFINED = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
"""
_HOMES = ("/home", "/root")


def confined(*paths: Path) -> str:
    """Return the lines that shut a service in. paths: what it has to read, perhaps in a home."""
    return _CONFINED.format(home="read-only" if is_in_a_home(*paths) else "yes").rstrip("\n")


def is_in_a_home(*paths: Path) -> bool:
    """Say whether one of these lies where a service may not look by itself."""
    return any(path.is_relative_to(home) for path in paths for home in _HOMES)


def plain(text: str) -> str:
    """Return a name as a value in a unit. Raises UsageError for one that no unit can hold."""
    if not text.isprintable():
        raise UsageError("A name with a line break or a control character cannot be in a unit.")
    return text.replace("%", "%%")


def quoted(text: str) -> str:
    """Return a name as one of a list, see systemd.syntax(7). Raises UsageError as `plain` does."""
    text = plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def argument(text: str) -> str:
    """Return one argument as ExecStart= reads it, see systemd.service(5): $ is one there."""
    return quoted(text).replace("$", "$$")

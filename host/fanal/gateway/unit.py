"""The systemd unit of a listener that starts with its computer, and may do nothing but listen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fanal.error import UsageError

_UNIT = """\
[Unit]
Description=Fanal listener
Documentation=man:systemd.exec(5)
Wants=network-online.target bluetooth.target
After=network-online.target bluetooth.target
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=always
RestartSec=10
TimeoutStopSec=30
KillSignal=SIGTERM

# the bundle is read by the system and handed over: the listener reads no home
LoadCredential=bundle:{bundle}
DynamicUser=yes
SupplementaryGroups=bluetooth
StateDirectory=fanal
StateDirectoryMode=0700
UMask=0077

CapabilityBoundingSet=
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
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
MemoryMax=256M
TasksMax=64

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What the unit starts. python: the interpreter that has Fanal; bundle: a whole path; more:
    options of `fanal listen`."""

    python: Path
    bundle: Path
    more: Sequence[str] = ()

    @property
    def is_in_a_home(self) -> bool:
        """Whether the program lies where the user of the service may not look."""
        return self.python.is_relative_to("/home") or self.python.is_relative_to("/root")


def unit(service: Service) -> str:
    """Return the text of the unit. Raises UsageError for a name that no unit can hold."""
    listen = [str(service.python), "-m", "fanal", "listen", "--bundle"]
    command = [*map(_quoted, listen), '"%d/bundle"', "--state", '"%S/fanal"']
    return _UNIT.format(
        command=" ".join([*command, *map(_quoted, service.more)]),
        bundle=_escaped(str(service.bundle)),
        home="read-only" if service.is_in_a_home else "yes",
    )


def _escaped(text: str) -> str:
    if not text.isprintable():
        raise UsageError("A name with a line break or a control character cannot be in a unit.")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return one argument as ExecStart= reads it, see systemd.service(5) and systemd.syntax(7)."""
    text = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"'

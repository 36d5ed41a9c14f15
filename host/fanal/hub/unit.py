"""The systemd unit of a hub that starts with its computer, and may do nothing else."""

from dataclasses import dataclass
from pathlib import Path

from fanal.error import UsageError

_UNIT = """\
[Unit]
Description=Fanal hub
Documentation=man:systemd.exec(5)
Wants=network-online.target
After=network-online.target postgresql.service mosquitto.service
StartLimitIntervalSec=0

[Service]
User={user}
ExecStart={command}
Restart=always
RestartSec=5
TimeoutStopSec=30
KillSignal=SIGTERM

# the passphrase is read by the system and handed over, in a place that only the hub sees
LoadCredential=passphrase:{passphrase}
ReadWritePaths={folder}
UMask=0077

{capabilities}
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
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# opening the passphrase takes 512 MB, once, at the start
MemoryMax=2G
TasksMax=256

[Install]
WantedBy=multi-user.target
"""
_LOW_PORT = "CAP_NET_BIND_SERVICE"


@dataclass(frozen=True, slots=True)
class Service:
    """What the unit starts. All paths whole. python: the interpreter that has Fanal; user: who
    owns the hub's folder; port: on which it listens."""

    python: Path
    folder: Path
    passphrase: Path
    user: str
    port: int

    @property
    def is_in_a_home(self) -> bool:
        """Whether something of it lies where a service may not look by itself."""
        return any(path.is_relative_to(home) for path in (self.python, self.folder)
                   for home in ("/home", "/root"))  # fmt: skip


def unit(service: Service) -> str:
    """Return the text of the unit. Raises UsageError for a name that no unit can hold."""
    start = [str(service.python), "-m", "fanal", "hub", "run", "--hub", str(service.folder)]
    command = [*map(_quoted, start), "--passphrase-file", '"%d/passphrase"']
    may = _LOW_PORT if 0 < service.port < 1024 else ""
    capabilities = f"CapabilityBoundingSet={may}" + (f"\nAmbientCapabilities={may}" if may else "")
    return _UNIT.format(
        command=" ".join(command), folder=_quoted(str(service.folder)), user=_plain(service.user),
        passphrase=_plain(str(service.passphrase)), capabilities=capabilities,
        home="read-only" if service.is_in_a_home else "yes",
    )  # fmt: skip


def _plain(text: str) -> str:
    if not text.isprintable():
        raise UsageError("A name with a line break or a control character cannot be in a unit.")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return one argument as ExecStart= reads it, see systemd.service(5) and systemd.syntax(7)."""
    text = _plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"'

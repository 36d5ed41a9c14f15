"""The systemd unit of a hub that starts with its computer, and may do nothing else."""

from dataclasses import dataclass
from pathlib import Path

from fanal import systemd
from fanal.hub.hub_log_checkpoint import SERVICE_STATE

_UNIT = """\
[Unit]
Description=Fanal hub
Documentation=man:systemd.exec(5)
Wants=network-online.target
After=network-online.target time-sync.target postgresql.service mosquitto.service
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
# the newest checkpoint of the hub's log lies here, outside of its folder
StateDirectory={state}
StateDirectoryMode=0700
Environment=XDG_STATE_HOME=%S/{state}
UMask=0077
# memory holds the keys of the events to come
LimitCORE=0

{capabilities}
{confined}
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


def unit(service: Service) -> str:
    """Return the text of the unit. Raises UsageError for a name that no unit can hold."""
    start = [str(service.python), "-m", "fanal", "hub", "run", "--hub", str(service.folder)]
    command = [*map(systemd.argument, start), "--passphrase-file", '"%d/passphrase"']
    may = _LOW_PORT if 0 < service.port < 1024 else ""
    capabilities = f"CapabilityBoundingSet={may}" + (f"\nAmbientCapabilities={may}" if may else "")
    return _UNIT.format(
        command=" ".join(command), state=SERVICE_STATE.name,
        folder=systemd.quoted(str(service.folder)), user=systemd.plain(service.user),
        passphrase=systemd.plain(str(service.passphrase)),
        capabilities=capabilities, confined=systemd.confined(service.python, service.folder),
    )  # fmt: skip

"""The systemd unit of a listener that starts with its computer, and may do nothing but listen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fanal import systemd

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
{confined}
MemoryDenyWriteExecute=yes
SystemCallFilter=~@privileged @resources
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
        return systemd.is_in_a_home(self.python)


def unit(service: Service) -> str:
    """Return the text of the unit. Raises UsageError for a name that no unit can hold."""
    listen = [str(service.python), "-m", "fanal", "listen", "--bundle"]
    command = [*map(systemd.argument, listen), '"%d/bundle"', "--state", '"%S/fanal"']
    return _UNIT.format(
        command=" ".join([*command, *map(systemd.argument, service.more)]),
        bundle=systemd.plain(str(service.bundle)),
        confined=systemd.confined(service.python),
    )

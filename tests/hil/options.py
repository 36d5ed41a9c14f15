"""The flags of the suite, and what they mean."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VIRTUAL = "virtual"
AIR, BLUETOOTH, HCI, NO_RADIO = "air", "bluetooth", "hci", "none"

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Options:
    """The flags as given. radio: "" where the default of each beacon holds."""

    beacons: tuple[str, ...] = (VIRTUAL,)
    radio: str = ""
    adapter: str | None = None
    interactive: bool = False
    squeeze_command: str | None = None
    power_command: str | None = None
    may_provision: bool = False
    soak_hours: float = 0.0
    commits: int = 6
    all_curves: bool = False
    real_time: bool = False
    report: Path | None = None
    state: Path = _ROOT / "build" / "hil"

    def radio_of(self, beacon: str) -> str:
        """Return which radio listens to a beacon: the flag's, else the air or none."""
        if is_virtual(beacon):
            return NO_RADIO if self.radio == NO_RADIO else AIR
        return self.radio or NO_RADIO


def is_virtual(beacon: str) -> bool:
    """Say whether a beacon is to be made rather than found: "virtual" or "virtual:CHIP"."""
    return beacon.partition(":")[0] == VIRTUAL


def words_of(command: str, **values: str) -> list[str]:
    """Return a hook as words for the system; `{name}` in a word stands for its value."""
    return [word.format_map(values) for word in shlex.split(command)]


# flag, what pytest's parser is told of it, what a person is told
_FLAGS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("--beacon", {"action": "append", "metavar": "BEACON"},
     "virtual (default), virtual:CHIP, a port, a MAC address, socket://HOST:PORT or"
     " rfc2217://HOST:PORT; may be repeated"),
    ("--radio", {"default": "", "metavar": "RADIO"},
     "air (what a virtual beacon has), air:HOST:PORT, bluetooth, hci:TRANSPORT (a dongle, through"
     " Bumble) or none"),
    ("--adapter", {"metavar": "NAME"}, "which Bluetooth adapter (Linux), such as hci0"),
    ("--interactive", {"action": "store_true"},
     "somebody is there to squeeze the sensor and press buttons"),
    ("--squeeze-command", {"metavar": "CMD"},
     "what squeezes the sensor, such as 'solenoid --play {curve}'"),
    ("--power-command", {"metavar": "CMD"},
     "what switches the beacon's power, such as 'relay {state}'; state is on or off"),
    ("--may-provision", {"action": "store_true"},
     "a board that made its key and holds no event key may be given one of the suite's"),
    ("--soak-hours", {"type": float, "default": 0.0, "metavar": "N"}, "let it live for N hours"),
    ("--commits", {"type": int, "default": Options.commits, "metavar": "N"},
     "how often the test of endurance writes its store (default: %(default)s)"),
    ("--all-curves", {"action": "store_true"},
     "squeeze it in all the ways that are known, not in four"),
    ("--real-time", {"action": "store_true"},
     "a virtual beacon's time does not jump while a test waits"),
    ("--hil-report", {"type": Path, "metavar": "FILE.html"}, "write one self-contained page"),
    ("--hil-state", {"type": Path, "default": Options.state, "metavar": "DIR"},
     "where the suite keeps the fleet of the boards that it provisions (default: %(default)s)"),
)  # fmt: skip


def add_to(group: Any) -> None:
    """Declare the flags in a group of pytest's parser."""
    for name, how, help_text in _FLAGS:
        dest = "hil_" + name.removeprefix("--").removeprefix("hil-").replace("-", "_")
        group.addoption(name, dest=dest, help=help_text, **how)


def of(config: Any) -> Options:
    """Return the flags of a run; defaults where another suite's run did not declare them."""

    def flag(name: str, default: Any) -> Any:
        return config.getoption(f"hil_{name}", default)

    return Options(
        beacons=tuple(flag("beacon", None) or (VIRTUAL,)),
        radio=flag("radio", ""),
        adapter=flag("adapter", None),
        interactive=flag("interactive", False),
        squeeze_command=flag("squeeze_command", None),
        power_command=flag("power_command", None),
        may_provision=flag("may_provision", False),
        soak_hours=flag("soak_hours", 0.0),
        commits=flag("commits", Options.commits),
        all_curves=flag("all_curves", False),
        real_time=flag("real_time", False),
        report=flag("report", None),
        state=flag("state", Options.state),
    )


def check(options: Options, workers: object = None) -> None:
    """Raise pytest.UsageError for flags that make no sense together."""
    kind = options.radio.partition(":")[0]
    wired = [beacon for beacon in options.beacons if not is_virtual(beacon)]
    if kind not in ("", AIR, BLUETOOTH, HCI, NO_RADIO):
        raise pytest.UsageError(f"--radio {options.radio}: air, bluetooth, hci:TRANSPORT or none")
    if kind == HCI and not options.radio.partition(":")[2]:
        raise pytest.UsageError(
            "--radio hci:TRANSPORT, such as hci:usb:0 or hci:serial:/dev/ttyACM0"
        )
    if wired and options.radio == AIR:
        raise pytest.UsageError(f"{wired[0]} is not on the air of a virtual beacon; say whose:"
                                " --radio air:HOST:PORT")  # fmt: skip
    if wired and workers:
        raise pytest.UsageError("one serial line, one process: leave out -n")
    if len(set(options.beacons)) < len(options.beacons):
        raise pytest.UsageError("the same --beacon twice")

"""Whether the clock can be believed: certificates, custody and the age of an alert hang on it."""

from datetime import UTC, datetime

from fanal.doctor.finding import Finding, bad, doubtful, good, unchecked
from fanal.doctor.system import System

_EARLIEST_YEAR = 2026  # of this release: no clock is right that shows less
_LATEST_YEAR = 2099
_SLACK_MS = 60_000


def clock(system: System, newest_ms: int | None) -> Finding:
    """Check the year, and that the registry holds nothing from the future.

    newest_ms: the registry's last entry, Unix milliseconds, or None.
    """
    now = system.now()
    shown = now.strftime("%Y-%m-%d %H:%M UTC")
    if not _EARLIEST_YEAR <= now.year <= _LATEST_YEAR:
        return bad("clock", f"it says {shown}", *_set(system))
    if newest_ms is not None and newest_ms > now.timestamp() * 1000 + _SLACK_MS:
        newest = _shown(newest_ms)
        return bad(
            "clock",
            f"it says {shown}, but the registry has an entry of {newest}",
            f"One of them is wrong. {_set(system)[0]}",
            *_set(system)[1:],
        )
    return good("clock", f"{shown}; compare it with a telephone")


def synchronised(system: System) -> Finding:
    """Ask systemd whether a time server set the clock."""
    asked = system.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if asked is None or asked.exit_code != 0 or asked.text not in ("yes", "no"):
        return unchecked(
            "clock source", "this system does not tell whether a time server sets it",
            "Compare the clock with a telephone.",
        )  # fmt: skip
    if asked.text == "yes":
        return good("clock source", "set by a time server")
    return doubtful(
        "clock source",
        "no time server sets it now, which is usual without a network",
        "Compare the clock with a telephone; with a network, let it be set:",
        "sudo timedatectl set-ntp true",
    )


def _shown(t_ms: int) -> str:
    try:
        return datetime.fromtimestamp(t_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "a year that no calendar has"


def _set(system: System) -> tuple[str, ...]:
    if system.platform == "linux":
        return (
            "Set it: with a network by the first command, else by the second with the right time.",
            "sudo timedatectl set-ntp true",
            "sudo timedatectl set-time 'YYYY-MM-DD HH:MM:SS'",
        )
    return ("Set it in the system's settings, Date & Time.",)

"""What a test may need of a rig, a board or a flag, and how its absence is named."""

from collections.abc import Iterable

# what a test may need -> what it is called when it is missing
MISSING = {
    "ears": "needs --radio",
    "squeeze": "needs --interactive or --squeeze-command",
    "power": "needs --power-command",
    "reset": "needs a line with DTR and RTS that reset the board",
    "wake": "needs --power-command, --interactive, or a line with DTR and RTS that reset the board",
    "virtual": "needs --beacon virtual",
    "soak": "needs --soak-hours",
    "slot": "needs --soak-hours: a slot lasts 900 s",
    "curves": "needs --all-curves",
    "radio": "board has no radio",
    "sleep": "board cannot deep-sleep",
    "vault": "board has no vault partition",
    "rtc": "board has no RTC memory",
    "watchdog": "board has no watchdog",
    "trigger": "firmware has no begin_self_test",
    "start": "needs begin_self_test in the firmware, --interactive or --squeeze-command",
    "identity": "board holds the identity of another fleet",
    "blank": "board held an identity before",
}


def first_missing(needs: Iterable[str], abilities: frozenset[str]) -> str | None:
    """Return the name of the first thing that is missing. Raises KeyError for an unknown one."""
    missing = [MISSING[need] for need in needs if MISSING[need] and need not in abilities]
    return missing[0] if missing else None

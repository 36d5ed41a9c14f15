"""What a test may need of a rig, a board or a flag, and how its absence is named."""

from collections.abc import Iterable

# what a test may need -> what it is called when it is missing; what no flag can change goes first
MISSING = {
    "radio": "board has no radio",
    "sleep": "board cannot deep-sleep",
    "vault": "board has no vault partition",
    "rtc": "board has no RTC memory",
    "watchdog": "board has no watchdog",
    "trigger": "firmware has no begin_self_test",
    "identity": "board holds the identity of another fleet",
    "ears": "needs --radio",
    "squeeze": "needs --interactive or --squeeze-command",
    "start": "needs begin_self_test in the firmware, --interactive or --squeeze-command",
    "power": "needs --power-command",
    "reset": "needs a line with DTR and RTS that reset the board",
    "wake": "needs --power-command, --interactive, or a line with DTR and RTS that reset the board",
    "long": "needs --soak-hours: it takes 5 to 15 minutes",
    "soak": "needs --soak-hours",
    "curves": "needs --all-curves",
}


def first_missing(needs: Iterable[str], abilities: frozenset[str]) -> str | None:
    """Return the name of the first thing that is missing. Raises KeyError for an unknown one."""
    wanted = {need: MISSING[need] for need in needs}
    return next((MISSING[n] for n in MISSING if n in wanted and n not in abilities), None)

"""`fanal ports --probe`: asks boards who they are, side by side; none of them can spoil the list.

Attaching interrupts whatever a board does. A beacon in an event falls silent meanwhile and goes on
when the link is closed, as the same event; BoardLink sees to that.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fanal.error import DeviceError, FanalError
from fanal.printable import printable
from fanal.status import Status, read_status

BLANK = "blank"
NO_ANSWER = "no answer"
NOT_ASKED = "not asked"

# how long a board may take in all; one that flows over, or whose driver hangs, is given up then
LIMIT_S = 60.0

_ATTACH_S = 3.0
_ANSWER_S = 8.0
_LONGEST_NAME = 60
_NEVER_OPENED = ("port_busy", "permission", "no_port")


@dataclass(frozen=True)
class Answer:
    """What a board said. state: BLANK, NO_ANSWER, NOT_ASKED, "MicroPython 1.28.0", "Fanal 0.1.0".

    chip, mac: None if unknown. is_provisioned: None unless Fanal answers. event: as the console
    says it, None if none is open. problem, hint: what went wrong, in words, or "". code: its word.
    """

    state: str
    chip: str | None = None
    mac: str | None = None
    is_provisioned: bool | None = None
    beacon_id: str | None = None
    event: Mapping[str, Any] | None = None
    problem: str = ""
    hint: str = ""
    code: str = ""


Ask = Callable[[str], Answer]
Identify = Callable[[str], tuple[str, str]]


def probe(ports: Iterable[str], ask: Ask, limit_s: float = LIMIT_S) -> dict[str, Answer]:
    """Ask the boards on these ports all at once; return port -> answer, for every one.

    ask: what to do with one port; it may raise, or never return.
    """
    names, answers = list(ports), dict[str, Answer]()
    threads = [
        # a daemon: a driver that hangs must not keep the command from ending
        threading.Thread(target=_asked, args=(port, ask, answers), daemon=True)
        for port in names
    ]
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.start()
    try:
        _wait(threads, deadline)
    except KeyboardInterrupt:
        _wait(threads, deadline)  # for the boards to be handed back; a second Ctrl-C ends that too
        raise
    return {name: answers.get(name) or _given_up(name, limit_s) for name in names}


def ask_board(port: str, identify: Identify | None = None) -> Answer:
    """Ask one board at its prompt. identify: asks the ROM of one that has none, by a reset.

    Raises nothing that is the board's fault: it is in the answer.
    """
    answer = _at_its_prompt(port)
    if identify is None or answer.state not in (BLANK, NO_ANSWER) or answer.code in _NEVER_OPENED:
        return answer
    try:
        chip, mac = identify(port)
    except FanalError as problem:
        return _with(answer, problem)
    if answer.state == NO_ANSWER:
        answer = _at_its_prompt(port)  # that was a reset: a beacon that slept listens for a while
    if answer.state not in (BLANK, NO_ANSWER):
        return answer
    told = replace(answer, chip=chip, mac=mac)
    if answer.state == BLANK:
        return told
    return replace(
        told, problem="Only its ROM answers: what runs on it is no MicroPython.",
        hint="`fanal flash` replaces it.", code="rom_only",
    )  # fmt: skip


class _Plain(Exception):
    """A MicroPython without Fanal: a way out of BoardLink, whose farewell such a board ignores."""


def _at_its_prompt(port: str) -> Answer:
    from fanal.board_link import BoardLink
    from fanal.running import look

    answer = None
    try:
        with BoardLink(port, attach_s=_ATTACH_S, answer_s=_ANSWER_S) as board:
            found = look(board)
            chip = found.chip.title if found.chip is not None else found.machine
            micropython = f"MicroPython {printable(found.micropython, _LONGEST_NAME)}"
            answer = Answer(micropython, printable(chip, _LONGEST_NAME), found.mac)
            if found.status is None:
                raise _Plain
            answer = _of_fanal(read_status(board), answer)
    except _Plain:
        pass
    except FanalError as problem:
        answer = _with(answer or Answer(_state(problem)), problem)
    assert answer is not None
    return answer


def _with(answer: Answer, problem: FanalError) -> Answer:
    """Return an answer with what went wrong. That a board is blank is no problem of it."""
    sentence = "" if answer.state == BLANK else problem.sentence
    return replace(answer, problem=sentence, hint=problem.hint, code=problem.code)


def _of_fanal(status: Status, micropython: Answer) -> Answer:
    return replace(
        micropython,
        state=f"Fanal {status.version}",
        mac=status.mac,
        is_provisioned=status.is_provisioned,
        beacon_id=status.beacon_id,
        event=status.event,
    )


def _state(problem: FanalError) -> str:
    """Return what an error says of the board itself."""
    if problem.code == "nothing_to_run":
        return BLANK
    return NOT_ASKED if problem.code in _NEVER_OPENED else NO_ANSWER


def _asked(port: str, ask: Ask, answers: dict[str, Answer]) -> None:
    try:
        answers[port] = ask(port)
    except FanalError as problem:
        answers[port] = _with(Answer(NO_ANSWER), problem)
    except Exception as problem:  # noqa: BLE001 - one board must not spoil the others' list
        answers[port] = Answer(
            NO_ANSWER,
            problem=f"Asking it failed in a way nobody foresaw ({type(problem).__name__}).",
            hint=f"Try `fanal --debug verify --port {port}`, and report what it prints.",
            code="unexpected",
        )


def _given_up(port: str, limit_s: float) -> Answer:
    problem = DeviceError(
        f"Whatever is on {port} did not come to an end in {limit_s:.0f} s.",
        "Unplug it and plug it in again: it hangs, or sends without end.",
        code="hangs",
    )
    return _with(Answer(NO_ANSWER), problem)


def _wait(threads: Iterable[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))

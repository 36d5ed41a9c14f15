"""How the command line speaks: results to stdout, everything else to stderr.

Colour never carries meaning alone: every mark is a symbol and a word. NO_COLOR and
terminals without UTF-8 are respected.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from fanal.error import EnvironmentFault, FanalError, UsageError
from fanal.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from fanal.sealed_work import Opener

PASSPHRASE_VARIABLE = "FANAL_PASSPHRASE"
HUB_PASSPHRASE_VARIABLE = "FANAL_HUB_PASSPHRASE"
BACKUP_PASSPHRASE_VARIABLE = "FANAL_BACKUP_PASSPHRASE"
IDENTITY_VARIABLE = "FANAL_IDENTITY"

_F = TypeVar("_F", bound=Callable[..., Any])

# word, symbol, the same for terminals without UTF-8, colour
_MARKS = {
    "ok": ("ok", "✓", "+", "green"),
    "warn": ("warning", "!", "!", "yellow"),
    "fail": ("FAIL", "✗", "x", "red"),
}


_WORD = re.compile(r"\s*(?:[^\s`]*`[^`]*`\S*|\S+)")


@dataclass
class Session:
    """What every command shares.

    fleet_dir: the fleet folder, which may not exist yet. identity: the file that opens it, None if
    its passphrase does.
    """

    fleet_dir: Path
    debug: bool = False
    as_json: bool = False
    identity: Path | None = None


pass_session = click.make_pass_decorator(Session)


def out() -> "Console":
    """Return the rich console for results (stdout)."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> "Console":
    """Return the rich console for everything that is not a result (stderr)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def mark(outcome: str, stream: IO[str] | None = None) -> str:
    """Return symbol and word for "ok", "warn" or "fail", coloured where `stream` shows colours."""
    stream = stream or sys.stdout
    word, symbol, plain, colour = _MARKS[outcome]
    text = f"{symbol if _is_unicode(stream) else plain} {word}"
    return click.style(text, fg=colour, bold=True) if _has_colour(stream) else text


def beacons(count: int, kind: str = "") -> str:
    """Return "1 beacon", "2 beacons", or with a kind "2 new beacons"."""
    return f"{count} {kind}{' ' if kind else ''}beacon{'' if count == 1 else 's'}"


def folded(line: str, indent: int, stream: IO[str]) -> str:
    """Return `line` broken between words where a terminal would break it anywhere.

    indent: of the rows after the first. What stands in backquotes, a command to be copied, counts
    as one word. Unchanged if `stream` is no terminal.
    """
    if not stream.isatty():
        return line
    width = shutil.get_terminal_size().columns
    rows = [""]
    for word in _WORD.findall(line):
        if rows[-1] and len(click.unstyle(rows[-1] + word)) > width:
            rows.append(" " * indent + word.lstrip())
        else:
            rows[-1] += word
    return "\n".join(rows)


def result(text: str) -> None:
    """Print a line of the result while bars move below it."""
    # not click.echo, which goes round them
    print(text, flush=True)


def note(text: str) -> None:
    """Say something that is not a result: progress, a remark."""
    # not click.echo either: it spoils the line that `steps` moves
    print(folded(text, 4, sys.stderr), file=sys.stderr, flush=True)


def ask_for_reset() -> None:
    """Ask for what wakes a beacon that sleeps: it answers only for a while after a reset."""
    note("The beacon sleeps or is busy: press its reset button.")


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is happening now: a line that moves, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with err().status("") as status:
        yield lambda step: status.update(f"{step} ...")


def print_json(value: Any) -> None:
    """Print the one object that `--json` promises. Bytes become lower-case hex."""
    click.echo(json.dumps(value, default=_json_default, ensure_ascii=False))


def print_error(error: FanalError, as_json: bool = False) -> None:
    """Say an error: one sentence, one hint, on stderr; with as_json also an object on stdout."""
    arrow = "→" if _is_unicode(sys.stderr) else "->"
    _, symbol, plain, colour = _MARKS["fail"]
    head = f"{symbol if _is_unicode(sys.stderr) else plain} Error:"
    if _has_colour(sys.stderr):
        head = click.style(head, fg=colour, bold=True)
    # a board, a USB device or a file's name may be quoted in it
    note(f"{head} {printable(error.sentence)}")
    if error.hint:
        note(f"  {arrow} {printable(error.hint)}")
    if as_json:
        print_json(as_object(error))


def as_object(error: FanalError) -> dict[str, Any]:
    """Return the object that `--json` promises of an error."""
    return {
        "ok": False,
        "error": error.code,
        "sentence": error.sentence,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def json_option(command: _F) -> _F:
    """Add `--json` (parameter `as_json`) to a command."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        session = ctx.find_object(Session)
        if session is not None:
            session.as_json = value
        return value

    return click.option(
        "--json", "as_json", is_flag=True, callback=remember, help="Print one JSON object.",
        is_eager=True,  # what is wrong with another option is told as JSON too
    )(command)  # fmt: skip


def passphrase_option(command: _F) -> _F:
    """Add `--passphrase-file` (parameter `passphrase_file`) to a command."""
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Read the passphrase from the first line of a file; or set {PASSPHRASE_VARIABLE}.",
    )(command)


def unlock_options(command: _F) -> _F:
    """Add what opens the fleet: `--passphrase-file` (parameter) and `--identity` (`Session`)."""

    def remember(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
        session = ctx.find_object(Session)
        if session is not None:
            session.identity = value

    command = click.option(
        "--identity", type=click.Path(path_type=Path, dir_okay=False), envvar=IDENTITY_VARIABLE,
        metavar="FILE", expose_value=False, callback=remember,
        help="Open the fleet by an officer's age identity, not by its passphrase.",
    )(command)  # fmt: skip
    return passphrase_option(command)


def port_option(command: _F) -> _F:
    """Add `--port` (parameter `port`) to a command."""
    return click.option(
        "--port", metavar="PORT",
        help="Serial port, URL, or MAC address of a board with its own USB; not needed if only one"
        " is there.",
    )(command)  # fmt: skip


def baud_option(command: _F) -> _F:
    """Add `--baud` (parameter `baud`, as text) to a command that flashes."""
    return click.option(
        "--baud", type=click.Choice(["115200", "230400", "460800", "921600"]), default="460800",
        show_default=True, help="While flashing; use a lower speed with a bad cable.",
    )(command)  # fmt: skip


def ports_options(command: _F) -> _F:
    """Add `--port`, which may be repeated (parameter `ports`), and `--all` (parameter `is_all`)."""
    command = click.option(
        "--all", "is_all", is_flag=True, help="All boards that are attached, side by side."
    )(command)
    return click.option(
        "--port", "ports", metavar="PORT", multiple=True,
        help="Serial port, URL, or MAC address of a board with its own USB; may be repeated.",
    )(command)  # fmt: skip


def read_opener(session: Session, passphrase_file: Path | None) -> "Opener":
    """Return what opens the fleet: the officer's identity file, or the passphrase."""
    from fanal.sealed_work import Opener

    if session.identity is None:
        return Opener(read_passphrase(passphrase_file))
    from fanal import age_file

    if not age_file.is_sealed(session.identity):
        return Opener("", session.identity)
    return Opener(read_passphrase(passphrase_file, whose="identity file"), session.identity)


def read_passphrase(
    passphrase_file: Path | None, *, is_new: bool = False, whose: str = "fleet"
) -> str:
    """Return the passphrase: from the file, else FANAL_PASSPHRASE, else asked for (twice if new).

    whose: "fleet", "identity file", or "hub", whose own FANAL_HUB_PASSPHRASE comes first, or
    "backup", which has FANAL_BACKUP_PASSPHRASE alone. Never from the command line, where every
    process could read it. From here on this process leaves no core file.
    """
    from fanal import secret_process

    secret_process.harden()
    if passphrase_file is not None:
        return read_secret_file(passphrase_file)
    if whose == "backup":
        variable, found = BACKUP_PASSPHRASE_VARIABLE, os.environ.get(BACKUP_PASSPHRASE_VARIABLE)
        option = "--backup-passphrase-file"
    else:
        variable, found = PASSPHRASE_VARIABLE, os.environ.get(PASSPHRASE_VARIABLE)
        option = "--passphrase-file"
    own = os.environ.get(HUB_PASSPHRASE_VARIABLE) if whose == "hub" else None
    if from_environment := own or found:
        return from_environment
    if not sys.stdin.isatty():
        raise UsageError(
            f"The passphrase of the {whose} is needed, and there is no terminal to ask for it.",
            f"Use {option} FILE or set {variable}.",
        )
    if not is_new:
        answer: str = click.prompt(f"Passphrase of the {whose}", hide_input=True, err=True)
        return answer
    from fanal.keyring import SHORTEST_PASSPHRASE, check_passphrase

    def long_enough(text: str) -> str:
        try:
            check_passphrase(text)
        except UsageError as problem:
            raise click.UsageError(problem.sentence) from None  # it is asked for again
        return text

    text = f"New passphrase of the {whose} ({SHORTEST_PASSPHRASE} characters or more)"
    return str(
        click.prompt(
            text, hide_input=True, confirmation_prompt=True, err=True, value_proc=long_enough
        )
    )


def is_asked_in_person() -> bool:
    """Say whether there is a terminal at which somebody can type a secret."""
    return sys.stdin.isatty()


def read_secret_file(path: Path, what: str = "passphrase") -> str:
    """Return the first line of a file. Raises EnvironmentFault."""
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not text"
        raise EnvironmentFault(
            f"The {what} file {path} cannot be read: {reason}.",
            f"Give a text file whose first line is the {what}.",
        ) from None


def _has_colour(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _is_unicode(stream: IO[str]) -> bool:
    stream = getattr(stream, "rich_proxied_file", stream)  # which knows no encoding
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _json_default(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

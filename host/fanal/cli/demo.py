"""`fanal demo`: a squeeze, or a technician's sitting, from end to end, with no hardware."""

import json
import shutil
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console
from fanal.error import UsageError

if TYPE_CHECKING:
    from fanal.demo_hub import Stay


@click.command(
    epilog="""\b
Examples:
  fanal demo                     one squeeze; nothing of it is kept
  fanal demo sitting             eight blank boards become beacons
  fanal demo hub --stay          thirty beacons, two volunteers, a hub
  fanal demo --keep /tmp/demo    keep the fleet and the board to look into
  fanal demo --json              one object, for a script

Exit codes: 0 everything was really observed, 1 something was not.
""",
)
@click.argument("story", type=click.Choice(["squeeze", "sitting", "hub"]), default="squeeze")
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep what it makes in DIR."
)
@click.option("--stay", is_flag=True, help="With hub: leave it running, until Enter is pressed.")
@console.json_option
@click.pass_context
def demo_command(
    ctx: click.Context, story: str, keep: Path | None, stay: bool, as_json: bool
) -> None:
    """Watch one squeeze, a technician's sitting, or a hub, from end to end on the virtual bench.

    The firmware runs on the real MicroPython interpreter, esptool and mpremote write it, bleak
    hears it. Only the air, the flash, the ROM and the hand are virtual.
    """
    from fanal import demo, demo_hub, demo_sitting
    from fanal.story import Fact

    if stay and (story != "hub" or as_json):
        raise UsageError("--stay goes with `fanal demo hub`, and not with --json.")

    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(f"{keep} is there already.", "Name a folder that is new or empty.")
    folder = keep or Path(tempfile.mkdtemp(prefix="fanal-demo-"))
    account = _Account(silent=as_json)
    try:
        if story == "hub":
            is_good = demo_hub.demo(folder, account.tell, _stay if stay else None)
        else:
            play = demo.demo if story == "squeeze" else demo_sitting.demo
            is_good = play(folder, account.tell)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    facts = [told for told in account.told if isinstance(told, Fact)]
    observed = sum(fact.is_so for fact in facts)
    took_s = time.monotonic() - account.began_s
    if as_json:
        rows = [{"text": fact.text, "observed": fact.is_so} for fact in facts]
        click.echo(json.dumps({"ok": is_good, "seconds": round(took_s, 1), "facts": rows}))
    else:
        word = "ok" if is_good else "fail"
        click.echo(f"\n{console.mark(word)}  {observed} of {len(facts)} facts observed "
                   f"in {took_s:.0f} s.")  # fmt: skip
        if keep:
            console.note(f"The fleet is in {keep / 'fleet'}, the boards are in {keep / 'bench'}.")
    ctx.exit(0 if is_good else 1)


def _stay(where: "Stay") -> None:
    """Say how to look at the hub, and wait."""
    click.echo(f"\n       The hub runs at {where.url}\n"
               f"       Log in as {where.user} with the password {where.password}")  # fmt: skip
    click.prompt("       Press Enter to end it", default="", show_default=False, prompt_suffix=" ")


class _Account:
    """Prints the story as it comes, and keeps it."""

    def __init__(self, *, silent: bool) -> None:
        self.told: list[object] = []
        self.began_s = time.monotonic()
        self._silent = silent

    def tell(self, told: object) -> None:
        """Print one part of the story."""
        from fanal.story import Detail, Fact, Scene

        self.told.append(told)
        if self._silent:
            return
        if isinstance(told, Scene):
            seconds = time.monotonic() - self.began_s
            title = click.style(told.title, bold=True) if _colours() else told.title
            click.echo(f"\n{seconds:3.0f} s  {title}")
        elif isinstance(told, Fact):
            mark = console.mark("ok" if told.is_so else "fail")
            click.echo(_wrapped(told.text, f"       {mark}  ", 14))
        elif isinstance(told, Detail):
            click.echo(_wrapped(told.text, " " * 14, 14))
        sys.stdout.flush()


def _wrapped(text: str, begin: str, indent: int) -> str:
    """Return `text` behind `begin`, broken for the terminal, later lines indented."""
    width = max(60, shutil.get_terminal_size().columns) - indent
    lines = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
    return "\n".join([begin + lines[0], *(" " * indent + line for line in lines[1:])])


def _colours() -> bool:
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")

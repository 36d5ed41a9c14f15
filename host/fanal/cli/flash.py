"""`fanal flash`: put MicroPython and the firmware on boards."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.beacon_name import shown
from fanal.cli import console
from fanal.error import FanalError

if TYPE_CHECKING:
    from fanal.flash_plan import Flashed, Images


@dataclass(frozen=True)
class _Outcome:
    flashed: "Flashed | None"
    problem: FanalError | None


@click.command(
    epilog="""\b
Examples:
  fanal flash                          the board on the only port
  fanal flash --all                    all that are attached, side by side
  fanal flash --port /dev/ttyUSB0 --baud 115200
  fanal flash --image ESP32_GENERIC_C3-20260406-v1.28.0.bin

Exit codes: 0 done, 1 in an event or it does not start, 3 no board or the wrong one,
5 the flash does not hold what was written, 6 some of several failed, 7 the port
cannot be used or there is no image.
""",
)
@console.ports_options
@click.option("--image", "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="This MicroPython image, instead of the store's.")  # fmt: skip
@click.option("--again", is_flag=True,
              help="Write everything anew and format the file system. The keys stay.")  # fmt: skip
@click.option("--disturb", is_flag=True, help="Also a beacon that is in an event.")
@console.baud_option
@console.json_option
@click.pass_context
def flash_command(
    ctx: click.Context,
    ports: tuple[str, ...],
    is_all: bool,
    file: Path | None,
    again: bool,
    disturb: bool,
    baud: str,
    as_json: bool,
) -> None:
    """Put MicroPython, the vault partition and the firmware on boards.

    A board may be blank, half flashed, in a boot loop, or a beacon in service: what is right stays,
    keys are never touched, and the same command again goes on where it stopped.
    """
    from fanal.cli import side_by_side
    from fanal.firmware_image import locate
    from fanal.flash import flash
    from fanal.flash_plan import Plan, Progress
    from fanal.serial_port import find_ports

    images, firmware = _images(file), locate()
    plan = Plan(int(baud), again, disturb)
    outcomes: dict[str, _Outcome] = {}

    def work(port: str, progress: Progress) -> _Outcome:
        try:
            return _Outcome(flash(port, images, firmware, plan, progress), None)
        except FanalError as problem:
            return _Outcome(None, problem)

    def on_done(port: str, outcome: _Outcome) -> str:
        outcomes[port] = outcome
        if not as_json:
            _tell(port, outcome)
        return "done" if outcome.problem is None else "not done: see above"

    chosen = find_ports(ports, is_all)
    side_by_side.run(chosen, work, on_done)
    if as_json:
        console.print_json(_as_object(outcomes))
    ctx.exit(_exit_code(outcomes))


def _images(file: Path | None) -> "Images":
    from fanal.flash_plan import OneImage
    from fanal.image_store import ImageStore, read_image

    return ImageStore() if file is None else OneImage(read_image(file))


def _tell(port: str, outcome: _Outcome) -> None:
    if outcome.problem is not None:
        console.note(f"{port}:")
        console.print_error(outcome.problem)
        return
    done = outcome.flashed
    assert done is not None
    what = "Flashed" if done.changed else "Already as it should be, nothing written"
    count = len(done.written)
    files = f", {count} file{'s' if count > 1 else ''}" if count else ""
    console.result(
        f"{console.mark('ok')}  {what}: {done.chip} {done.mac}  MicroPython {done.micropython},"
        f" Fanal {done.firmware}{files}  ({port})"
    )
    if done.formatted and done.beacon_id is not None:
        console.note(
            f"{console.mark('warn')} The settings of {shown(done.beacon_id)} were in its file"
            " system and are gone: run `fanal provision` with it, which restores them."
        )


def _as_object(outcomes: dict[str, _Outcome]) -> dict[str, Any]:
    boards = [
        {"port": port, "ok": True, **asdict(outcome.flashed), "changed": outcome.flashed.changed}
        if outcome.flashed is not None
        else {"port": port, **console.as_object(outcome.problem or FanalError(""))}
        for port, outcome in outcomes.items()
    ]
    return {"ok": all(board["ok"] for board in boards), "boards": boards}


def _exit_code(outcomes: dict[str, _Outcome]) -> int:
    from fanal.cli import side_by_side

    problems = [outcome.problem for outcome in outcomes.values() if outcome.problem is not None]
    return side_by_side.exit_code(problems, len(outcomes))

"""`fanal sim`: a virtual bench in one terminal, and what happens on it from another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console, sim_images, sim_line
from fanal.cli.out_file import OutFile
from fanal.cli.sim_bench import CHIPS, Bench, board_argument, examples, pass_bench
from fanal.sim import force

if TYPE_CHECKING:
    from fanal.sim.world import World

_AIR_PORT = 7100


@click.group(
    name="sim",
    epilog="""\b
Examples:
  fanal sim start                  a virtual beacon and its air, till Ctrl-C
  fanal sim squeeze hold           squeeze it, from another terminal
  fanal sim power off              take its battery out
  fanal sim loss 0.5               lose half of all packets
""",
)
@click.option(
    "--dir", "directory", metavar="DIR", envvar="FANAL_SIM",
    type=click.Path(path_type=Path, file_okay=False),
    help="The bench's folder (also FANAL_SIM). Default: the user's data folder.",
)  # fmt: skip
@click.pass_context
def sim_group(ctx: click.Context, directory: Path | None) -> None:
    """The virtual bench: boards and air, no hardware."""
    ctx.obj = Bench(directory)


@sim_group.command(
    epilog=examples(
        "start",
        "start --boards 3 --chip esp32s3",
        "start --blank --boards 8 --chip esp32 --chip esp32c3 --baud 460800",
        "start --air-port 0 --seed 7",
    )
)
@click.option("--boards", "count", default=1, show_default=True, type=click.IntRange(0, 200),
              help="How many boards there are at least.")  # fmt: skip
@click.option(
    "--chip", "chips", multiple=True, default=["esp32c3"], show_default=True,
    type=click.Choice(CHIPS), help="May be repeated: new boards take them in turn.",
)  # fmt: skip
@click.option("--blank", is_flag=True, help="New boards with an erased flash, to be flashed.")
@click.option(
    "--no-hands", is_flag=True,
    help="Nobody presses BOOT and RESET for a tool at a port, which has no DTR and RTS.",
)  # fmt: skip
@click.option("--baud", type=click.IntRange(300, 4_000_000),
              help="Speed of all serial lines. Default: as fast as this computer.")  # fmt: skip
@click.option("--air-port", default=_AIR_PORT, show_default=True, type=click.IntRange(0, 65535),
              help="TCP port of the air; 0 for any.")  # fmt: skip
@click.option(
    "--seed", default=0, show_default=True, help="Of everything random: keys, addresses, losses."
)
@pass_bench
def start(
    bench: Bench,
    count: int,
    chips: tuple[str, ...],
    blank: bool,
    no_hands: bool,
    baud: int | None,
    air_port: int,
    seed: int,
) -> None:
    """Run boards and an air until Ctrl-C. The boards keep their flash in the folder.

    A seed that is known makes the beacons' keys known: such a bench is for trying things only.
    """
    import asyncio

    if "esp32c6" in chips and not blank:
        raise click.UsageError("There is no firmware for esp32c6: add --blank.")
    from fanal.sim.world import World

    world = World(bench.directory, seed=seed, air_port=air_port, baud=baud, hands=not no_hands)
    asyncio.run(_serve(world, count, chips, blank))


async def _serve(world: World, count: int, chips: Sequence[str], blank: bool) -> None:
    import asyncio
    import os
    import signal

    from fanal.error import EnvironmentFault
    from fanal.sim.control import Control, require_free

    require_free(world.directory)
    try:
        await world.__aenter__()
    except OSError as error:
        if error.filename:
            raise  # the folder, not the port
        raise EnvironmentFault(
            f"The air cannot use port {world.air_port}: {os.strerror(error.errno or 0)}.",
            "Another bench may run; stop it, or choose another --air-port.",
        ) from None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with Control(world):
            for board in world.boards.values():
                board.power_on()
            while len(world.boards) < count:
                chip = chips[len(world.boards) % len(chips)]
                world.add_board(chip=chip, blank=blank)
            _introduce(world, blank)
            await stop.wait()
    finally:
        await world.__aexit__()
    console.note("The bench has stopped; its boards are kept.")


def _introduce(world: World, is_blank: bool) -> None:
    boards = list(world.boards.values())
    rows = [(board.name, board.chip, board.url, board.port) for board in boards]
    _echo_table(("board", "chip", "url", "port"), rows)
    if boards:
        click.echo(
            "\nA url has DTR and RTS, as a USB adapter has, and is slow: pyserial waits 50 ms"
        )
        click.echo("for each change of them. So that Fanal finds the boards:\n")
        click.echo(f'  export FANAL_PORTS="{" ".join(board.port for board in boards)}"')
    click.echo(f"\nThe air is at {world.air_address}. Try, from another terminal:\n")
    if boards and is_blank:
        click.echo(f"  fanal flash --port {boards[0].port}")
    elif boards:
        click.echo(f"  mpremote connect {boards[0].port} ls")
        click.echo(f"  fanal provision --port {boards[0].port} --site SITE")
    click.echo(f"  fanal listen --air {world.air_address}")
    click.echo(f"  fanal sim --dir {world.directory} squeeze hold\n")
    click.echo("Ctrl-C ends it; the boards and what is in their flash stay.")


def _echo_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows whose last column, a path, is never cut: people copy it."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)]
    for row in [head, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]))


@sim_group.command(epilog=examples("status", "status --json"))
@console.json_option
@pass_bench
def status(bench: Bench, as_json: bool) -> None:
    """Show boards, air and settings."""
    answer = bench.ask("status")
    if as_json:
        console.print_json(answer)
        return
    rows = [
        (
            board["name"],
            board["chip"],
            board["state"],
            str(board["boots"]),
            f"{board['battery_mv'] / 1000:.2f} V",
            board["url"] if board["plugged"] else "unplugged",
            board["port"],
        )
        for board in answer["boards"]
    ]
    _echo_table(("board", "chip", "state", "boots", "battery", "url", "port"), rows)
    lost = f"{answer['loss']:.0%} lost, {answer['duplicate']:.0%} repeated"
    recording = ", recording" if answer["recording"] else ""
    click.echo(f"air {answer['air']}: {answer['frames']} packets sent, {lost}{recording}")


@sim_group.command(
    epilog=examples("squeeze hold", "squeeze self-test b2", "squeeze hold --strength 0.3 --hand 4")
    + "\n\nThe curves: "
    + ", ".join(force.NAMES)
    + "."
)
@click.argument("curve", default="hold")
@board_argument
@click.option("--hand", "seed", default=0, help="Which hand of that kind.")
@click.option("--strength", default=1.0, show_default=True, type=click.FloatRange(0, 10))
@pass_bench
def squeeze(bench: Bench, curve: str, board: str | None, seed: int, strength: float) -> None:
    """Squeeze a board with a force curve."""
    answer = bench.ask("squeeze", board=board, curve=curve, seed=seed, strength=strength)
    click.echo(f"{answer['board']}: {curve}")


@sim_group.command(epilog=examples("power off", "power on b2"))
@click.argument("switch", type=click.Choice(["on", "off"]))
@board_argument
@pass_bench
def power(bench: Bench, switch: str, board: str | None) -> None:
    """Put the battery in, or take it out."""
    answer = bench.ask("power", board=board, is_on=switch == "on")
    click.echo(f"{answer['board']}: power {switch}")


@sim_group.command(epilog=examples("battery 3200", "battery 2900 b2"))
@click.argument("millivolts", type=click.IntRange(0, 6000))
@board_argument
@pass_bench
def battery(bench: Bench, millivolts: int, board: str | None) -> None:
    """Set a battery's voltage."""
    answer = bench.ask("battery", board=board, mv=millivolts)
    click.echo(f"{answer['board']}: {millivolts} mV")


@sim_group.command(epilog=examples("reset", "reset b2"))
@board_argument
@pass_bench
def reset(bench: Bench, board: str | None) -> None:
    """Press the reset button."""
    click.echo(f"{bench.ask('reset', board=board)['board']}: reset")


@sim_group.command(
    epilog=examples("cut --after 1.5", "cut --operation 2 --where inside --bytes 40")
)
@board_argument
@click.option("--after", "after_s", type=click.FloatRange(min=0), metavar="SECONDS")
@click.option("--operation", type=click.IntRange(min=0), help="Flash operation from now, from 0.")
@click.option("--where", default="before", type=click.Choice(["before", "inside", "after"]))
@click.option("--bytes", "after_bytes", default=0, help="How much of it took effect (inside).")
@pass_bench
def cut(
    bench: Bench,
    board: str | None,
    after_s: float | None,
    operation: int | None,
    where: str,
    after_bytes: int,
) -> None:
    """Cut the power at a moment, or at an operation of the flash."""
    if (after_s is None) == (operation is None):
        raise click.UsageError("Give either --after SECONDS or --operation N.")
    answer = bench.ask(
        "cut", board=board, after_s=after_s, operation=operation, where=where,
        after_bytes=after_bytes,
    )  # fmt: skip
    click.echo(f"{answer['board']}: a power cut is armed")


@sim_group.command(epilog=examples("loss 0.5", "loss 0.9 --listener porch", "loss 0"))
@click.argument("share", type=click.FloatRange(0, 1))
@click.option("--listener", help="Only for the listener of this name.")
@pass_bench
def loss(bench: Bench, share: float, listener: str | None) -> None:
    """Lose a share of all packets."""
    bench.ask("loss", share=share, listener=listener)
    click.echo(f"{share:.0%} of packets are lost")


@sim_group.command(epilog=examples("duplicate 0.2", "duplicate 0"))
@click.argument("share", type=click.FloatRange(0, 1))
@click.option("--listener", help="Only for the listener of this name.")
@pass_bench
def duplicate(bench: Bench, share: float, listener: str | None) -> None:
    """Repeat a share of all packets."""
    bench.ask("duplicate", share=share, listener=listener)
    click.echo(f"{share:.0%} of packets arrive twice")


@sim_group.command(epilog=examples("record /tmp/air.jsonl", "record --stop"))
@click.argument("file", type=OutFile(), required=False)
@click.option("--stop", is_flag=True, help="Stop recording.")
@pass_bench
def record(bench: Bench, file: Path | None, stop: bool) -> None:
    """Record every packet to a file, until --stop."""
    if (file is None) != stop:
        raise click.UsageError("Give either a file or --stop.")
    bench.ask("record", path=None if file is None else str(file.absolute()))
    click.echo("recording stopped" if file is None else f"recording to {file}")


@sim_group.command(
    epilog=examples("replay /tmp/air.jsonl", "replay /tmp/air.jsonl --most 1 --keep-address")
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--most", type=click.IntRange(min=1), help="Play only the first so many.")
@click.option("--keep-address", is_flag=True, help="From the old addresses, not fresh ones.")
@pass_bench
def replay(bench: Bench, file: Path, most: int | None, keep_address: bool) -> None:
    """Play a recording, as an attacker would."""
    path = str(file.absolute())
    answer = bench.ask("replay", path=path, most=most, keep_address=keep_address)
    click.echo(f"{answer['frames']} packets are being replayed")


@sim_group.command(
    epilog=examples("forge \\\n    0303a1f51a16a1f5206872ed8c9de1b01200b7a6266d47d8fb43b3572f7cbe")
)
@click.argument("data", metavar="HEX")
@pass_bench
def forge(bench: Bench, data: str) -> None:
    """Send advertising data of your own making, at most 31 bytes."""
    try:
        bytes.fromhex(data)
    except ValueError:
        raise click.UsageError("HEX is not hexadecimal.") from None
    bench.ask("forge", data=data)
    click.echo("sent")


@sim_group.group(epilog=examples("boards add", "boards add b2 --chip esp32"))
def boards() -> None:
    """More boards."""


@boards.command(
    name="add", epilog=examples("boards add", "boards add b2 --chip esp32", "boards add --blank")
)
@click.argument("name", required=False)
@click.option("--chip", default="esp32c3", show_default=True, type=click.Choice(CHIPS))
@click.option("--blank", is_flag=True, help="With an erased flash, to be flashed.")
@console.json_option
@pass_bench
def add_board(bench: Bench, name: str | None, chip: str, blank: bool, as_json: bool) -> None:
    """Add a board to the running bench."""
    answer = bench.ask("add", name=name, chip=chip, blank=blank)
    if as_json:
        console.print_json(answer)
    else:
        click.echo(f"{answer['name']} {answer['chip']} {answer['url']} {answer['port']}")


for _verb in (
    sim_line.boot_button, sim_line.plug, sim_line.unplug, sim_line.fault, sim_images.images
):  # fmt: skip
    sim_group.add_command(_verb)

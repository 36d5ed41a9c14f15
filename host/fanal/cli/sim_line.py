"""`fanal sim`: the port and the buttons of a board, and what goes wrong there."""

from __future__ import annotations

import click

from fanal.cli.sim_bench import CHIPS, Bench, board_argument, examples, pass_bench

_FAULTS = [
    "noise", "loss", "unplug", "reset", "brown-out", "slow", "bad-block", "wrong-chip", "none",
]  # fmt: skip


@click.command(name="boot-button", epilog=examples("boot-button hold", "boot-button release b2"))
@click.argument("deed", type=click.Choice(["hold", "release"]))
@board_argument
@pass_bench
def boot_button(bench: Bench, deed: str, board: str | None) -> None:
    """Hold the BOOT button down, or let it go. A reset with it down enters the serial ROM."""
    answer = bench.ask("boot button", board=board, is_down=deed == "hold")
    click.echo(f"{answer['board']}: BOOT {'held down' if deed == 'hold' else 'let go'}")


@click.command(epilog=examples("unplug", "unplug b2"))
@board_argument
@pass_bench
def unplug(bench: Bench, board: str | None) -> None:
    """Pull a board's cable: its port vanishes. Its battery stays."""
    click.echo(f"{bench.ask('plug', board=board, is_in=False)['board']}: unplugged")


@click.command(epilog=examples("plug", "plug b2"))
@board_argument
@pass_bench
def plug(bench: Bench, board: str | None) -> None:
    """Put a board's cable back in."""
    click.echo(f"{bench.ask('plug', board=board, is_in=True)['board']}: plugged in")


@click.command(
    epilog=examples(
        "fault b1 noise --every 5000",
        "fault b1 loss --rate 0.001 --direction in",
        "fault b1 unplug --at 20000",
        "fault b1 brown-out --at 12",
        "fault b1 slow --baud 9600",
        "fault b1 bad-block --at 0x20000",
        "fault b1 wrong-chip --chip esp32s3",
        "fault b1 none",
    )
)
@click.argument("board")
@click.argument("kind", type=click.Choice(_FAULTS))
@click.option("--at", metavar="N", help="A byte on the line, an operation or an address of flash.")
@click.option("--every", type=click.IntRange(min=1), help="One in so many bytes.")
@click.option("--rate", type=click.FloatRange(0, 1), help="A share of all bytes, by chance.")
@click.option("--baud", type=click.IntRange(10, 4_000_000))
@click.option("--chip", type=click.Choice(CHIPS))
@click.option("--direction", type=click.Choice(["in", "out"]), help="Into the board, or out of it.")
@pass_bench
def fault(
    bench: Bench,
    board: str,
    kind: str,
    at: str | None,
    every: int | None,
    rate: float | None,
    baud: int | None,
    chip: str | None,
    direction: str | None,
) -> None:
    """Let something go wrong on a board's line or in its chip.

    \b
    noise       a bit flips in one of --every bytes, or in a share (--rate)
    loss        a byte is lost, one of --every or a share (--rate) of them
    unplug      the port vanishes after --at bytes; `fanal sim plug` ends it
    reset       the chip resets after --at bytes
    brown-out   the supply dips at flash operation --at; the chip resets
    slow        the line runs at --baud
    bad-block   the sector at address --at takes no erase and no write
    wrong-chip  the chip is another --chip
    none        nothing goes wrong any more
    """
    try:
        number = None if at is None else int(at, 0)
    except ValueError:
        raise click.UsageError("--at takes a number, such as 4096 or 0x1000.") from None
    answer = bench.ask(
        "fault", board=board, kind=kind, at=number, every=every, rate=rate, baud=baud, chip=chip,
        direction=direction,
    )  # fmt: skip
    click.echo(f"{answer['board']}: {kind}" if kind != "none" else f"{board}: nothing goes wrong")

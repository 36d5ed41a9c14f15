"""`fanal sim images`: what virtual boards are flashed with in place of MicroPython's images."""

from __future__ import annotations

from pathlib import Path

import click

from fanal.cli.sim_bench import examples


@click.command(epilog=examples("images images", "images --app-kb 1600 images"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--app-kb", default=128, show_default=True, type=click.IntRange(8, 1900))
def images(folder: Path, app_kb: int) -> None:
    """Write a stand-in for MicroPython's image of each chip that Fanal runs on.

    FOLDER is made if it is not there.
    Headers, partition table, checksums and descriptor are true; the code is random bytes, which
    nothing ever executes. A real board would not start with one.
    """
    from fanal.keyring import write_private
    from fanal.sim.chip import WITH_FIRMWARE
    from fanal.sim.synthetic import synthetic_image

    folder.mkdir(parents=True, exist_ok=True)
    for chip in WITH_FIRMWARE:
        path = folder / f"{chip}-synthetic.bin"
        write_private(path, synthetic_image(chip, app_bytes=app_kb << 10))
        click.echo(path)

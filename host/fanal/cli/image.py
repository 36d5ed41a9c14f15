"""`fanal image`: the MicroPython images from which boards are flashed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.cli import console
from fanal.error import BatchError, FanalError

if TYPE_CHECKING:
    from fanal.image_store import ImageStore, StoredImage

_CHIPS = ("esp32", "esp32c3", "esp32s3")
_SHOWN = 16  # digits of a checksum, for people


@click.group(
    name="image",
    epilog="""\b
Examples:
  fanal image add ESP32_GENERIC_C3-20260406-v1.28.0.bin
  fanal image get --all --pin              download from micropython.org
  fanal image list

\b
Flashing takes its images from here and needs no network then.
""",
)
@click.option(
    "--store", "folder", metavar="DIR", envvar="FANAL_IMAGES",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the images (also FANAL_IMAGES). Default: in the user's data folder.",
)  # fmt: skip
@click.pass_context
def image_group(ctx: click.Context, folder: Path | None) -> None:
    """Keep MicroPython images on this computer, checked."""
    ctx.meta["fanal.images"] = folder


@image_group.command(
    epilog="""\b
Examples:
  fanal image add ~/Downloads/ESP32_GENERIC-20260406-v1.28.0.bin
  fanal image add *.bin --json

Exit codes: 0 all are stored, 4 it is not a right image, 6 some of several are not, 7 a file or the
folder cannot be used.
""",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(path_type=Path, dir_okay=False))  # fmt: skip
@console.json_option
@click.pass_context
def add(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Check image files and keep a copy of each.

    Bootloader, partition table and app must be whole, for one chip that Fanal runs on, and leave
    room for the vault. Adding a file again changes nothing.
    """
    store = _store(ctx)
    _each(ctx, {str(file): partial(store.add, file) for file in files}, as_json)


@image_group.command(
    epilog="""\b
Examples:
  fanal image get --chip esp32c3 --sha256 HEX   if you know the checksum
  fanal image get --all --pin                   trust what comes first
  fanal image get --all --from https://mirror.example/micropython/

Exit codes: 0 all are stored, 1 there is no such file, 4 a checksum, certificate or image is not
right or no checksum is known, 6 some of several failed, 7 the network.
""",
)
@click.option("--chip", "chips", multiple=True, type=click.Choice(_CHIPS), help="For this chip.")
@click.option("--all", "is_all", is_flag=True, help="For all chips that Fanal runs on.")
@click.option("--version", metavar="X.Y.Z", help="Of MicroPython. Default: what Fanal is made for.")
@click.option(
    "--from", "source", metavar="URL", envvar="FANAL_IMAGE_MIRROR",
    help="Another folder, or file ending in .bin, over https (also FANAL_IMAGE_MIRROR).",
)  # fmt: skip
@click.option("--sha256", metavar="HEX", help="The checksum that the file must have.")
@click.option(
    "--pin", is_flag=True, help="Trust the first file that comes, and only that one later."
)
@console.json_option
@click.pass_context
def get(
    ctx: click.Context,
    chips: tuple[str, ...],
    is_all: bool,
    version: str | None,
    source: str | None,
    sha256: str | None,
    pin: bool,
    as_json: bool,
) -> None:
    """Download official images over HTTPS.

    Which checksum a file must have is written down in a lock file: the one that comes with Fanal,
    or the one in the folder of the images. Where neither has it, say it with --sha256, or take the
    risk of the first download with --pin. What is there already is not downloaded again.
    """
    from fanal.chips import CHIPS
    from fanal.firmware_image import MICROPYTHON
    from fanal.image_download import MICROPYTHON_ORG, check_address
    from fanal.image_get import get as get_image

    chosen = _CHIPS if is_all else tuple(dict.fromkeys(chips))
    if bool(chips) == is_all:
        raise click.UsageError("Give --chip CHIP (several if you like), or --all.")
    if len(chosen) > 1 and (sha256 or _names_a_file(source)):
        raise click.UsageError("One checksum, or the address of one file, is for one --chip.")
    source = source or MICROPYTHON_ORG
    check_address(source)
    store, digest = _store(ctx), _checksum(sha256)

    def one(chip: str) -> "StoredImage":
        with console.steps() as on_step:
            on_step(f"Downloading the image for {CHIPS[chip].title}")
            return get_image(
                store, CHIPS[chip], version or MICROPYTHON, source=source,
                sha256=digest, pin=pin, on_progress=_progress(on_step, CHIPS[chip].title),
            )  # fmt: skip

    if pin:
        console.note("Where no checksum is known, the first file that comes is trusted. Compare")
        console.note("its SHA-256 with what another computer got over another network.")
    _each(ctx, {chip: partial(one, chip) for chip in chosen}, as_json)


@image_group.command(
    name="list",
    epilog="""\b
Examples:
  fanal image list
  fanal image list --json
""",
)
@console.json_option
@click.pass_context
def list_command(ctx: click.Context, as_json: bool) -> None:
    """Show the images on this computer, each read and checked."""
    store = _store(ctx)
    images = store.list()
    if as_json:
        folder = str(store.folder)
        console.print_json(
            {"ok": True, "folder": folder, "images": [_public(image) for image in images]}
        )
    elif images:
        _show(images)
    else:
        console.note(f"No image in {store.folder} yet. Get some with")
        console.note("`fanal image get --all --pin`, or add a file with `fanal image add FILE`.")


def _store(ctx: click.Context) -> "ImageStore":
    from fanal.image_store import ImageStore

    return ImageStore(ctx.meta["fanal.images"])


def _each(ctx: click.Context, work: "dict[str, Callable[[], StoredImage]]", as_json: bool) -> None:
    """Do all of it, whatever one part says; a single one fails as any command does."""
    stored: list[StoredImage] = []
    problems: dict[str, FanalError] = {}
    for name, do in work.items():
        try:
            image = do()
        except FanalError as problem:
            if len(work) == 1:
                raise
            problems[name] = problem
            console.note(f"{name}:")
            console.print_error(problem)
        else:
            stored.append(image)
            if not as_json:
                click.echo(f"{console.mark('ok')}  {_line(image)}")
    if as_json:
        refused = [{"name": name, **console.as_object(p)} for name, p in problems.items()]
        images = [_public(image) for image in stored]
        console.print_json({"ok": not problems, "images": images, "refused": refused})
    if problems:
        if not as_json:
            console.note(f"{len(problems)} of {len(work)} were not stored.")
        ctx.exit(BatchError.exit_code)


def _line(image: "StoredImage") -> str:
    return f"MicroPython {image.version} for {image.chip.title}, SHA-256 {image.sha256}"


def _public(image: "StoredImage") -> dict[str, Any]:
    return {
        "chip": image.chip.name, "micropython": image.version, "sha256": image.sha256,
        "bytes": image.size, "file": str(image.path), "damaged": image.is_damaged,
    }  # fmt: skip


def _show(images: "tuple[StoredImage, ...]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("", "Chip", "MicroPython", "SHA-256", "File"):
        table.add_column(heading, no_wrap=heading != "File", overflow="fold")
    for image in images:
        mark = Text.from_ansi(console.mark("fail" if image.is_damaged else "ok"))
        digest = "damaged" if image.is_damaged else image.sha256[:_SHOWN]
        cells = (image.chip.title, image.version, digest, image.path.name)
        table.add_row(mark, *(Text(cell) for cell in cells))
    console.out().print(table)


def _progress(on_step: Callable[[str], None], title: str) -> Callable[[int, int | None], None]:
    def tell(done: int, total: int | None) -> None:
        of = "" if total is None else f" of {total // 1024}"
        on_step(f"Downloading the image for {title}: {done // 1024}{of} KB")

    return tell


def _names_a_file(source: str | None) -> bool:
    return source is not None and source.endswith(".bin")


def _checksum(text: str | None) -> str:
    from fanal.image_lock import checksum

    try:
        return "" if text is None else checksum(text)
    except ValueError:
        raise click.UsageError("--sha256 wants 64 hexadecimal digits.") from None

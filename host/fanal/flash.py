"""Make a board of any state one that runs this release: image, `vault` partition, firmware.

What is right already is left as it is, so that a second run writes nothing. esptool writes the
image and nothing behind it: the vault's place is looked at by the board itself, once it runs and
has said who it is (vault_place.py). `fanal retire` alone erases a vault.
"""

from fanal import esp_image, esptool_run, vault_place
from fanal.error import BoardLost, DeviceError, FanalError, ReadBackError
from fanal.esp_image import EspImage
from fanal.esptool_run import ChipFound, Part
from fanal.firmware_image import FirmwareImage
from fanal.flash_plan import (
    Flashed,
    Images,
    Plan,
    Progress,
    image_for,
    require_place_for_vault,
)
from fanal.install import Installed, install
from fanal.partition_table import VAULT
from fanal.repl import Repl
from fanal.running import Running, look
from fanal.serial_port import come_back

_GLANCE_S = 1.5  # to a prompt of a board that runs: longer is asleep, or has nothing to run
_BOOT_S = 12.0  # from a reset to the first prompt; a blank file system is formatted meanwhile
APPEAR_S = 8.0  # from a reset until a port of the board's own USB is there again
FLASH_BYTES = 4 << 20  # what every board has at least: a larger one is used as if it had this
# Of a file system that was laid out for another table: its first blocks say that it is there.
_STALE_BYTES = 0x10000
_NOT_RUNNING = ("no_answer", "nothing_to_run", "garbage", "silent")


def flash(
    port: str,
    images: Images,
    firmware: FirmwareImage,
    plan: Plan | None = None,
    progress: Progress | None = None,
) -> Flashed:
    """Bring the board on a port to this release, from whatever state it is in.

    Raises FanalError; running it again after any interruption goes on where it stopped.
    """
    plan, progress = plan or Plan(), progress or Progress()
    progress.step("Looking at the board")
    done = _updated(port, images, firmware, plan, progress, _GLANCE_S)
    if done is not None:
        return done
    progress.step("Asking the chip")
    found, table = esptool_run.read_table(port, plan.baud)
    image = image_for(found.chip, images)
    progress.known(found.mac, found.chip.name, None)
    if require_place_for_vault(table):
        # it may only have been asleep; the chip was started anew just now
        port = come_back(port, found.mac, APPEAR_S)
        done = _updated(port, images, firmware, plan, progress, _GLANCE_S, APPEAR_S)
        if done is not None:
            return done
    progress.step("Writing MicroPython")
    port = _written(port, found, image, plan, progress)
    done = _booted(port, found.mac, image, firmware, plan.again, progress)
    if done is None:
        # what keeps it from starting is in its file system: no keys are there
        progress.step("Formatting its file system")
        port = come_back(port, found.mac, APPEAR_S)
        # whoever waits for it to start may have taken it off meanwhile
        _require_same(port, found.mac, esptool_run.identify(port).mac)
        esptool_run.erase(port, found.chip, VAULT.end, _STALE_BYTES)
        done = _booted(port, found.mac, image, firmware, True, progress)
    if done is None:
        raise _does_not_start(port)
    return done


def _written(port: str, found: ChipFound, image: EspImage, plan: Plan, progress: Progress) -> str:
    """Write the image to the board that was asked before; return where it is now."""
    parts = [Part(image.flash_offset, esp_image.with_vault(image, FLASH_BYTES))]
    shares: list[float] = []

    def on_share(share: float) -> None:
        shares.append(share)
        progress.share(share)

    for is_last in (False, True):
        port = come_back(port, found.mac, APPEAR_S)
        try:
            written = esptool_run.write(port, found.chip, parts, baud=plan.baud, on_share=on_share)
        except DeviceError as problem:
            # the reset before it may take the port away just now, and bring it back
            if is_last or shares or problem.code not in ("unplugged", "no_port"):
                raise
        else:
            break
    _require_same(port, found.mac, written.mac)
    return port


# -- a board that runs


def _updated(
    port: str,
    images: Images,
    firmware: FirmwareImage,
    plan: Plan,
    progress: Progress,
    attach_s: float,
    appear_s: float = 0.0,
) -> Flashed | None:
    """Update the files of a board that runs the right image; None if that needs more.

    Raises FanalError for a beacon that is in an event, or whose keys lie in a file.
    """
    try:
        with Repl(port, attach_s=attach_s, appear_s=appear_s) as repl:
            running = look(repl)
            _require_idle(repl, running, plan)
            _require_no_loose_keys(repl, running)
            if running.chip is None:
                raise _no_chip_of_ours(port, running.machine)
            image = image_for(running.chip, images)
            if plan.again or running.mac is None or not _is_right(running, image):
                return None
            progress.known(running.mac, running.chip.name, _keyed_id(running))
            return _installed(repl, running.mac, image, firmware, False, progress)
    except DeviceError as problem:
        if problem.code not in _NOT_RUNNING:
            raise
        return None


def _booted(
    port: str,
    mac: str,
    image: EspImage,
    firmware: FirmwareImage,
    formats: bool,
    progress: Progress,
) -> Flashed | None:
    """Finish a board whose image was just written: it starts, says what it is, gets its files.

    Return None if it does not start.
    """
    progress.step("Waiting for its first start")
    try:
        port = come_back(port, mac, APPEAR_S)
        with Repl(port, attach_s=_BOOT_S, appear_s=APPEAR_S) as repl:
            running = look(repl)
            _require_same(port, mac, running.mac)
            if not _is_right(running, image):
                raise ReadBackError(
                    f"The board on {port} does not run the image that was written.",
                    "Run the command again.",
                    port=port,
                )
            done = _installed(repl, mac, image, firmware, formats, progress)
    except DeviceError as problem:
        if problem.code not in ("no_answer", "nothing_to_run"):
            raise
        return None
    return Flashed(**{**vars(done), "image_written": True})


def _installed(
    repl: Repl,
    mac: str,
    image: EspImage,
    firmware: FirmwareImage,
    formats: bool,
    progress: Progress,
) -> Flashed:
    progress.step("Comparing the firmware")
    vault_place.clear(repl)
    done: Installed = install(
        repl, firmware, formats=formats,
        on_writing=lambda: progress.step("Installing the firmware"), on_share=progress.share,
    )  # fmt: skip
    if done.changed:
        progress.step("Asking the firmware")
        repl.restart()
    running = look(repl)
    status = running.status or {}
    if status.get("fanal") != firmware.manifest.version:
        raise ReadBackError(
            f"The board on {repl.port} does not start Fanal {firmware.manifest.version}.",
            "Run the command again; if it fails again, add --again.",
            port=repl.port,
        )
    return Flashed(
        mac, image.chip.name, image.version, image.sha256, firmware.manifest.version,
        status.get("id"), False, done.written, done.removed, done.formatted,
    )  # fmt: skip


def _keyed_id(running: Running) -> str | None:
    """Return the id of a beacon that holds an event key: it was given one by somebody."""
    status = running.status or {}
    return status.get("id") if status.get("provisioned") is True else None


def _is_right(running: Running, image: EspImage) -> bool:
    """Whether a board runs this image, with our partitions."""
    wanted = esp_image.layout(image, FLASH_BYTES)
    places = [(p.label, p.type, p.subtype, p.address, p.size) for p in wanted]
    there = [(p.label, p.type, p.subtype, p.address, p.size) for p in running.partitions]
    return running.app == image.app and there == sorted(places, key=lambda place: place[3])


def _require_idle(repl: Repl, running: Running, plan: Plan) -> None:
    if running.status is not None and running.status.get("event") and not plan.disturb:
        raise FanalError(
            f"The beacon on {repl.port} is in the middle of an event: somebody may need help.",
            "Find out; it goes on now. If it is nothing, let it end, or add --disturb.",
            code="in_event",
            port=repl.port,
        )


def _require_no_loose_keys(repl: Repl, running: Running) -> None:
    """Refuse a beacon that was provisioned without a vault partition: its keys lie in a file."""
    status = running.status or {}
    if status.get("vault") == "file" and status.get("public_key") is not None:
        raise DeviceError(
            f"The beacon on {repl.port} keeps its keys in a file, which flashing would erase;"
            " nothing was changed.",
            "Take it out of service with `fanal retire`, then flash it.",
            code="layout",
            port=repl.port,
        )


def _require_same(port: str, before: str, after: str | None) -> None:
    if before != after:
        raise BoardLost(
            f"Another board answers on {port} now ({after}).",
            "Connect one board at a time to this port, and start again.",
            code="other_board",
            port=port,
        )


# -- what cannot be


def _no_chip_of_ours(port: str, machine: str) -> DeviceError:
    return DeviceError(
        f"The board on {port} is no ESP32 ({machine}); nothing was changed.",
        "Use an ESP32, ESP32-C3 or ESP32-S3.",
        code="unsupported",
        port=port,
    )


def _does_not_start(port: str) -> FanalError:
    return FanalError(
        f"The board on {port} does not start after it was flashed.",
        "Does it have 4 MB of flash, and enough current? Try a powered hub, or another board.",
        code="no_start",
        port=port,
    )

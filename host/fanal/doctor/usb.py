"""USB devices as the kernel shows them in /sys, and the serial ports among them."""

from dataclasses import dataclass

from fanal.doctor.system import System

DEVICES = "/sys/bus/usb/devices"

# what sits between USB and a board, and the kernel's module for it
BRIDGES = {
    "10c4:ea60": ("CP210x", "cp210x"),
    "1a86:7523": ("CH340", "ch341"),
    "1a86:7522": ("CH340", "ch341"),
    "1a86:5523": ("CH341", "ch341"),
    "1a86:55d4": ("CH9102", "cdc_acm"),
    "1a86:55d3": ("CH343", "cdc_acm"),
    "0403:6001": ("FT232R", "ftdi_sio"),
    "0403:6010": ("FT2232", "ftdi_sio"),
    "0403:6015": ("FT231X", "ftdi_sio"),
    "303a:1001": ("a chip's own USB port", "cdc_acm"),
}

_HUB_CLASS = "09"
_SELF_POWERED = 0x40


@dataclass(frozen=True)
class UsbDevice:
    """name: the kernel's, such as "1-4.2"; its hub is what is left of the last dot or hyphen.

    ids: "vid:pid" in hex. ports: its serial ports, such as "ttyUSB0". most_ma: what it declares to
    need at most, None if it does not say. is_self_powered: so it declares. drivers: of its
    interfaces.
    """

    name: str
    ids: str
    title: str
    ports: tuple[str, ...]
    most_ma: int | None
    is_hub: bool
    is_self_powered: bool
    drivers: tuple[str, ...] = ()

    @property
    def hub(self) -> str:
        """The name of the hub it is plugged into, "" if that is the computer's own."""
        head, dot, _ = self.name.rpartition(".")
        return head if dot else ""


def devices(system: System) -> list[UsbDevice]:
    """Return the devices that are plugged in, without the computer's own hubs."""
    names = system.names(DEVICES)
    interfaces = [name for name in names if ":" in name]
    return [
        _device(system, name, [i for i in interfaces if i.startswith(f"{name}:")])
        for name in names
        if ":" not in name and not name.startswith("usb")
    ]


def _device(system: System, name: str, interfaces: list[str]) -> UsbDevice:
    folder = f"{DEVICES}/{name}"
    vendor = (system.read(f"{folder}/idVendor") or "").lower()
    product = (system.read(f"{folder}/idProduct") or "").lower()
    ports = [port for interface in interfaces for port in _ports(system, interface)]
    return UsbDevice(
        name=name,
        ids=f"{vendor}:{product}",
        title=system.read(f"{folder}/product") or "",
        ports=tuple(ports),
        most_ma=_milliamperes(system.read(f"{folder}/bMaxPower")),
        is_hub=system.read(f"{folder}/bDeviceClass") == _HUB_CLASS,
        is_self_powered=_is_self_powered(system.read(f"{folder}/bmAttributes")),
        drivers=tuple(
            system.real(f"{DEVICES}/{interface}/driver").rpartition("/")[2]
            for interface in interfaces
            if system.node(f"{DEVICES}/{interface}/driver") is not None
        ),
    )


def _ports(system: System, interface: str) -> list[str]:
    """cdc_acm has its ports in a folder `tty`, the drivers of bridges beside it."""
    folder = f"{DEVICES}/{interface}"
    names = [*system.names(folder), *system.names(f"{folder}/tty")]
    return [name for name in names if name.startswith(("ttyUSB", "ttyACM"))]


def _milliamperes(text: str | None) -> int | None:
    digits = (text or "").removesuffix("mA")
    return int(digits) if digits.isdigit() else None


def _is_self_powered(text: str | None) -> bool:
    try:
        return bool(int(text or "0", 16) & _SELF_POWERED)
    except ValueError:
        return False

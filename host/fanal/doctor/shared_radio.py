"""Whether Bluetooth and Wi-Fi share one chip and its antenna: then each makes the other wait."""

from fanal.doctor.bluetooth import adapters
from fanal.doctor.finding import Finding, doubtful, good
from fanal.doctor.system import System

NETWORK = "/sys/class/net"

# maker of a Wi-Fi chip (PCI, USB or SDIO) -> the USB vendors of the Bluetooth half of its cards
_COMBINED = {
    "8086": ("8087",),  # Intel
    "10ec": ("0bda",),  # Realtek
    "14c3": ("0e8d", "13d3", "0489", "04ca"),  # MediaTek; cards of AzureWave, Foxconn, Lite-On
    "168c": ("0cf3", "13d3", "0489", "04ca"),  # Qualcomm Atheros
    "17cb": ("0cf3", "13d3", "0489", "04ca"),  # Qualcomm
    "14e4": ("0a5c", "05ac", "413c"),  # Broadcom
    "02d0": ("0a5c",),  # Broadcom and Cypress, SDIO
}


def shared_radio(system: System) -> list[Finding]:
    """Return a row if there is an adapter and Wi-Fi. It is a guess from the makers' numbers."""
    found = adapters(system)
    wifi = [name for name in system.names(NETWORK) if _is_wifi(system, name)]
    if not found or not wifi:
        return []
    pairs = [(b, w) for b in found for w in wifi if _is_one_chip(system, b, w)]
    free = [b for b in found if all(b != shared for shared, _ in pairs)]
    busy = [(b, w) for b, w in pairs if system.read(f"{NETWORK}/{w}/operstate") == "up"]
    if not pairs:
        return [good("shared radio", "Bluetooth and Wi-Fi seem to be chips of their own")]
    if not busy:
        return [good("shared radio", f"{pairs[0][0]} shares a chip with Wi-Fi, which is not used")]
    listening, network = busy[0]
    if free:
        fix = f"Listen with the other adapter (--adapter {free[0]}), or switch Wi-Fi off meanwhile"
    else:
        fix = "Use a network cable, and switch Wi-Fi off while you listen or run `verify --air`"
    return [
        doubtful(
            "shared radio",
            f"{listening} seems to share one chip with Wi-Fi ({network}, in use): it hears less",
            f"{fix} (`unblock` brings it back):",
            "sudo rfkill block wlan",
        )
    ]


def _is_wifi(system: System, name: str) -> bool:
    return any(
        system.node(f"{NETWORK}/{name}/{mark}") is not None for mark in ("wireless", "phy80211")
    )


def _is_one_chip(system: System, adapter: str, network: str) -> bool:
    bluetooth = system.real(f"/sys/class/bluetooth/{adapter}/device")
    wifi = system.real(f"{NETWORK}/{network}/device")
    folder = _usb_folder(system, bluetooth)
    if not folder:
        # soldered beside it, on a serial line or SDIO, as on a Raspberry Pi
        return any(part in bluetooth for part in ("serial", "/tty", "/mmc"))
    if folder == _usb_folder(system, wifi):
        return True  # two functions of one plug
    if system.read(f"{folder}/removable") == "removable":
        return False
    maker = (system.read(f"{wifi}/vendor") or "").lower().removeprefix("0x")
    wifi_folder = _usb_folder(system, wifi)
    if wifi_folder:
        maker = (system.read(f"{wifi_folder}/idVendor") or "").lower()
    vendor = (system.read(f"{folder}/idVendor") or "").lower()
    return vendor in _COMBINED.get(maker, ()) or (bool(vendor) and vendor == maker)


def _usb_folder(system: System, path: str) -> str:
    """Return the folder of the USB device to which a path belongs, or ""."""
    while path.count("/") > 2:
        if system.read(f"{path}/idVendor") is not None:
            return path
        path = path.rpartition("/")[0]
    return ""

"""Why there is no radio to listen with, as sentences: what bleak, D-Bus and systems raise."""

from fanal.error import EnvironmentFault


class RadioUnavailable(EnvironmentFault):
    """There is no radio to listen with: a package, an adapter, a permission is missing."""

    code = "radio"


_SWITCH_ON = "Switch Bluetooth on (on Linux: bluetoothctl power on)."
_PLUG_IN = "Plug in a Bluetooth adapter, name one with --adapter, or try a virtual air with --air."
_ALLOW = "Allow this program to use Bluetooth in the system's settings, then run it again."
_SERVICE_DOWN = "Start it (on Linux: sudo systemctl start bluetooth)."

_NO_SERVICE = tuple(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "TimedOut", "Disconnected")
)

_UNAVAILABLE = {
    "POWERED_OFF": ("Bluetooth is switched off.", _SWITCH_ON),
    "NO_BLUETOOTH": ("This computer has no Bluetooth adapter.", _PLUG_IN),
    "NO_BLE_CENTRAL_ROLE": ("The Bluetooth adapter cannot listen for Low Energy.", _PLUG_IN),
    "DENIED_BY_USER": ("This program may not use Bluetooth.", _ALLOW),
    "DENIED_BY_SYSTEM": ("This program may not use Bluetooth.", _ALLOW),
    "DENIED_BY_UNKNOWN": ("This program may not use Bluetooth.", _ALLOW),
}


def unavailable(error: Exception) -> RadioUnavailable:
    """Return what a person is told when the first scan did not start."""
    reason = getattr(getattr(error, "reason", None), "name", "")
    if reason in _UNAVAILABLE:
        return RadioUnavailable(*_UNAVAILABLE[reason])
    if isinstance(error, PermissionError):
        return RadioUnavailable("This program may not use Bluetooth.", _ALLOW)
    if isinstance(error, FileNotFoundError | ConnectionError) or _is_no_service(error):
        return RadioUnavailable("The Bluetooth service does not answer.", _SERVICE_DOWN)
    if isinstance(error, TimeoutError):
        return RadioUnavailable("Bluetooth did not start to listen in time.", _SWITCH_ON)
    return RadioUnavailable(f"The radio cannot listen: {half_sentence(error)}.", _PLUG_IN)


def _is_no_service(error: Exception) -> bool:
    """Say whether the message bus knows of no BlueZ, nor how to start one."""
    name = str(getattr(error, "dbus_error", ""))
    return name.startswith(("org.freedesktop.DBus.Error.Spawn.", *_NO_SERVICE))


def half_sentence(error: Exception) -> str:
    """Return what went wrong as half a sentence."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if _is_no_service(error):
        return "the Bluetooth service does not answer"
    if name := str(getattr(error, "dbus_error", "")):
        said = str(error.args[1]) if len(error.args) > 1 else name.rpartition(".")[2]
        return f"the Bluetooth service says: {said.strip().rstrip('.')}"
    # some of bleak's carry a reason beside the text
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return text.strip().rstrip(".") or type(error).__name__

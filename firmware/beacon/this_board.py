"""What only this very board knows: its machine's name, its profile, the settings in its flash."""

import errno
import json
import os
import sys

from beacon.profile import PROFILES, of_machine
from beacon.settings import MOST_CHARACTERS, Settings, SettingsError, parse


def name():
    """Return what MicroPython calls this board, such as "... with ESP32C3"."""
    if hasattr(os, "uname"):
        return os.uname().machine
    return getattr(sys.implementation, "_machine", "")


def profile(wanted=""):
    """Return the Profile called `wanted`, or the one that fits this board if it is empty."""
    return PROFILES[wanted] if wanted else of_machine(name())


def load(path):
    """Return (Settings, faults): defaults and ["settings"] if the file is not right."""
    try:
        with open(path) as file:
            text = file.read(MOST_CHARACTERS + 1)
        return parse(text), []
    except OSError as error:
        return Settings(), [] if error.errno == errno.ENOENT else ["settings"]
    except (UnicodeError, SettingsError):
        return Settings(), ["settings"]


def save(path, settings):
    """Write them beside the file, read them back, and only then take its place.

    Raises SettingsError "file" if they do not read back.
    """
    text = json.dumps(settings.as_dict())
    beside = path + ".new"
    with open(beside, "w") as file:
        file.write(text)
    with open(beside) as file:
        if file.read() != text:
            raise SettingsError("file")
    os.rename(beside, path)

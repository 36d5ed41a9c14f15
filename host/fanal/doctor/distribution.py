"""Which Linux this is, and how one installs, starts and permits there."""

import re
from dataclasses import dataclass

from fanal.doctor.system import System

# family -> how a package comes and goes
_INSTALL = {
    "debian": "sudo apt install",
    "fedora": "sudo dnf install",
    "arch": "sudo pacman -S",
    "suse": "sudo zypper install",
    "alpine": "sudo apk add",
}
_REMOVE = {
    "debian": "sudo apt remove",
    "fedora": "sudo dnf remove",
    "arch": "sudo pacman -R",
    "suse": "sudo zypper remove",
    "alpine": "sudo apk del",
}
_FAMILIES = {
    "debian": ("debian", "ubuntu", "raspbian", "linuxmint"),
    "fedora": ("fedora", "rhel", "centos"),
    "arch": ("arch",),
    "suse": ("suse", "opensuse"),
    "alpine": ("alpine",),
}


@dataclass(frozen=True)
class Distribution:
    """family: a key above, or "" if it is none that we know. init: systemd, openrc or ""."""

    family: str
    name: str
    init: str

    def install(self, package: str) -> tuple[str, str]:
        """Return (sentence, command) that bring a package; the command is "" if not known."""
        if self.family in _INSTALL:
            return "Install it:", f"{_INSTALL[self.family]} {package}"
        return f"Install the package {package} with this system's package manager.", ""

    def remove(self, package: str) -> str:
        """Return the command that removes a package, or ""."""
        return f"{_REMOVE[self.family]} {package}" if self.family in _REMOVE else ""

    def start(self, service: str) -> str:
        """Return the command that starts a service, now and at each boot."""
        if self.init == "systemd":
            return f"sudo systemctl enable --now {service}"
        if self.init == "openrc":
            return f"sudo rc-service {service} start"
        return f"sudo service {service} start"

    def restart(self, service: str) -> str:
        """Return the command that starts a running service anew."""
        if self.init == "systemd":
            return f"sudo systemctl restart {service}"
        if self.init == "openrc":
            return f"sudo rc-service {service} restart"
        return f"sudo service {service} restart"

    @property
    def serial_group(self) -> str:
        """The group that owns serial ports where none is there to ask."""
        return "uucp" if self.family == "arch" else "dialout"


def of(system: System) -> Distribution:
    """Return what /etc/os-release says, and which init runs."""
    text = system.read("/etc/os-release") or system.read("/usr/lib/os-release") or ""
    fields = {
        name: value.strip("\"'")
        for name, _, value in (line.strip().partition("=") for line in text.splitlines())
    }
    words = re.split(r"[\s-]+", f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".lower())
    family = next(
        (family for word in words for family, names in _FAMILIES.items() if word in names), ""
    )
    if system.node("/run/systemd/system") is not None:
        init = "systemd"
    elif system.node("/run/openrc") is not None:
        init = "openrc"
    else:
        init = ""
    return Distribution(family, fields.get("PRETTY_NAME", "Linux"), init)

"""A computer on paper: files, commands, groups and packages as a test wants them."""

from datetime import UTC, datetime
from pathlib import Path

from fanal.doctor.finding import Finding
from fanal.doctor.system import Done, Groups, Node

NOW = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
REQUIREMENTS = [
    "click>=8.1",
    'esptool<6,>=5.3; extra == "technician"',
    'mpremote==1.29.0; extra == "technician"',
    'matplotlib>=3.9; extra == "plot"',
    'fanal[technician]; extra == "sim"',
    'rootcanal==1.10.0; (sys_platform == "linux") and extra == "dev"',
]
PACKAGES = {"click": "8.1.7", "esptool": "5.6.0", "mpremote": "1.29.0", "matplotlib": "3.10.1"}
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
FEDORA = "NAME=Fedora\nID=fedora\n"
ARCH = "NAME='Manjaro'\nID=manjaro\nID_LIKE=arch\n"
SUSE = 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n'
STRANGE = "ID=strange\n"

FLEET = Path("/home/tech/fleet")
USB = "/sys/bus/usb/devices"


class PaperSystem:
    """A healthy Debian laptop with systemd, an adapter and one board; tests take things away."""

    def __init__(self, release=DEBIAN):
        self.platform = "linux"
        self.python = (3, 11, 7)
        self.executable = "/venv/bin/python"
        self.is_root = False
        self.files = {"/etc/os-release": release, "/proc/version": "Linux version 6.1"}
        self.nodes = {"/run/systemd/system": Node("root", 0o755, True)}
        self.links = {}
        self.sockets = {"/run/dbus/system_bus_socket"}
        self.commands = {
            "busctl": Done(0, "b true"),
            "timedatectl": Done(0, "yes"),
        }
        self.ran = []
        self.session = {"tech", "dialout", "bluetooth"}
        self.database = {"tech", "dialout", "bluetooth"}
        self.existing = {"root", "tech", "dialout", "uucp", "bluetooth"}
        self.packages = dict(PACKAGES)
        self.required = list(REQUIREMENTS)
        self.free = 100 << 30
        self.time = NOW
        self.variables = {}
        self.process(812, "bluetoothd")
        self.files["/sys/class/bluetooth/hci0/type"] = "primary"
        self.files |= {
            "/sys/class/rfkill/rfkill0/type": "bluetooth",
            "/sys/class/rfkill/rfkill0/name": "hci0",
            "/sys/class/rfkill/rfkill0/soft": "0",
            "/sys/class/rfkill/rfkill0/hard": "0",
        }

    # what a test does

    def process(self, number, name):
        self.files[f"/proc/{number}/comm"] = name

    def plug(self, name, ids, port=None, *, driver=None, group="dialout", usable=True, mode=0o660,
             **more):  # fmt: skip
        """Plug in a USB device; port: "ttyUSB0", "ttyACM0" or None. more: files of its folder."""
        vendor, product = ids.split(":")
        folder = f"{USB}/{name}"
        self.files |= {f"{folder}/idVendor": vendor, f"{folder}/idProduct": product}
        self.files |= {f"{folder}/{key}": value for key, value in more.items()}
        interface = f"{USB}/{name}:1.0"
        self.files[f"{interface}/bInterfaceClass"] = "ff"
        if driver:
            self.nodes[f"{interface}/driver"] = Node("root", 0o755, True)
            self.links[f"{interface}/driver"] = f"/sys/bus/usb/drivers/{driver}"
        if port:
            where = f"tty/{port}" if port.startswith("ttyACM") else port
            self.files[f"{interface}/{where}/dev"] = "188:0"
            self.nodes[f"/dev/{port}"] = Node(group, mode, usable)

    def rules(self, path, text):
        self.files[path] = text

    # what the doctor asks

    def read(self, path):
        return self.files.get(self._resolved(path), self.files.get(path))

    def names(self, folder):
        inside = [path for path in (*self.files, *self.nodes) if path.startswith(f"{folder}/")]
        return sorted({path[len(folder) + 1 :].split("/")[0] for path in inside})

    def real(self, path):
        return self._resolved(path)

    def node(self, path):
        if path in self.nodes:
            return self.nodes[path]
        if path in self.files or self.names(path):
            return Node("root", 0o644, False)
        return None

    def run(self, *command):
        self.ran.append(command)
        return self.commands.get(command[0])

    def groups(self):
        return Groups(*map(frozenset, (self.session, self.database, self.existing)))

    def package(self, name):
        return self.packages.get(name)

    def requirements(self):
        return self.required

    def free_bytes(self, path):
        return self.free

    def now(self):
        return self.time

    def connects(self, path):
        return path in self.sockets

    def variable(self, name):
        return self.variables.get(name, "")

    def _resolved(self, path):
        for link, target in self.links.items():
            if path == link or path.startswith(f"{link}/"):
                return target + path[len(link) :]
        return path


def healthy(release=DEBIAN):
    system = PaperSystem(release)
    system.nodes[str(FLEET)] = Node("tech", 0o700, True)
    system.nodes[f"{FLEET}/key.age"] = Node("tech", 0o600, True)
    system.plug("1-2", "10c4:ea60", "ttyUSB0", driver="cp210x")
    return system


def row(rows: list[Finding], name: str) -> Finding:
    (one,) = [row for row in rows if row.name == name]
    return one


def told(one: Finding):
    return one.outcome, one.reason, one.fix, one.commands

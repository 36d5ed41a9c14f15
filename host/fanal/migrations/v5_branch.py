"""Schema 5: which restore of a backup a file comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add a column; a file that was restored before keeps its log's name."""
    with op.batch_alter_table("fleet", recreate="never") as fleet:
        branch = sa.Column("branch", sa.String, server_default=sa.text("''"), nullable=False)
        fleet.add_column(branch)

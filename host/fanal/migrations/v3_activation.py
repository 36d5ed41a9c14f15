"""Schema 3: of which kind an alert was."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column; what was heard before is of no known kind."""
    with op.batch_alter_table("sighting", recreate="never") as sighting:
        sighting.add_column(sa.Column("activation", sa.Integer, nullable=True))

"""Schema 1: the tables of the first release. Where every registry began."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: there was no file before."""

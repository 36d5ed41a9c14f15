"""How often what a log is of was restored from a backup, and by which restore, as its name has it.

Two restores of one backup are two logs, and nobody may be there to count both: so each draws a
branch by lot. Of 32 bits, since a name that two logs share cannot be told from a forgery.
"""

import re
import secrets
from typing import NamedTuple, Self

_PART = re.compile("(?:/?epoch-([1-9][0-9]{0,8})(?:-([0-9a-f]{8}))?)?")


class Epoch(NamedTuple):
    """number: 0 if it was never restored. branch: 8 hex digits, "" as long as nobody drew one."""

    number: int = 0
    branch: str = ""

    @classmethod
    def after(cls, number: int) -> Self:
        """Return the one that a restore begins. number: the highest that is known so far."""
        return cls(number + 1, secrets.token_hex(4))

    @classmethod
    def parse(cls, part: str) -> Self | None:
        """Return the epoch that the end of a name tells of, None if it is no such end."""
        found = _PART.fullmatch(part)
        return None if found is None else cls(int(found[1] or 0), found[2] or "")

    @property
    def part(self) -> str:
        """What it adds to a name."""
        branch = f"-{self.branch}" if self.branch else ""
        return f"/epoch-{self.number}{branch}" if self.number else ""

    def leads_to(self, other: Self) -> bool:
        """Say whether a log that is at `other` can have been at this one.

        Of one number and two branches, neither was before the other.
        """
        return self == other or self.number < other.number


NEVER_RESTORED = Epoch()

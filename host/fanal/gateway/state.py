"""How a listener is, in counts and in sentences: nothing of what it hears."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fanal.gateway.cargo import NOT_ON_DISK
from fanal.gateway.sender import CONNECTED, DOWN
from fanal.radio import DEAF, QUIET


@dataclass(frozen=True, slots=True)
class State:
    """A moment of a listener.

    radio: HEARING, QUIET or DEAF, with its reason. advert_age_s: since any Bluetooth was heard,
    None if never. waiting: groups; is_spilling: some of them in memory only. relay: CONNECTED, DOWN
    or UNTRIED, with its reason. dropped: by name, since the start, as in `envelope.Health`.
    place_reason: why a place that is wanted is not known, or "".
    """

    radio: str
    radio_reason: str
    advert_age_s: int | None
    waiting: int
    is_spilling: bool
    relay: str
    relay_reason: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    place_reason: str = ""

    @property
    def kind(self) -> tuple[str, str, bool, str]:
        """What a person should be told of when it changes."""
        return self.radio, self.relay, self.is_spilling, self.place_reason

    @property
    def is_fine(self) -> bool:
        """Whether nothing has to be done."""
        return self.radio != DEAF and self.relay != DOWN and not self.is_spilling

    def line(self) -> str:
        """Return the state in one line of counts."""
        groups = "1 group" if self.waiting == 1 else f"{self.waiting} groups"
        heard = "never" if self.advert_age_s is None else f"{self.advert_age_s} s ago"
        parts = [f"{groups} waiting", f"last heard any Bluetooth {heard}"]
        parts.append("relay connected" if self.relay == CONNECTED else f"relay {self.relay}")
        lost = sum(count for name, count in self.dropped.items() if name not in NOT_ON_DISK)
        return ", ".join([*parts, f"{lost} dropped"] if lost else parts)

    def warnings(self) -> list[str]:
        """Return a sentence for each thing that is wrong."""
        found = []
        if self.radio == DEAF:
            found.append(f"This listener is deaf. {self.radio_reason} It tries again by itself.")
        elif self.radio == QUIET:
            found.append(self.radio_reason)
        if self.relay == DOWN:
            found.append(f"What is heard waits here. {self.relay_reason}")
        if self.is_spilling:
            found.append(
                "There is no room on the disk: what is heard is kept in memory, and a cut of power"
                " would lose it."
            )
        if self.place_reason:
            found.append(self.place_reason)
        return found

    def as_object(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "radio": self.radio, "last_advert_s": self.advert_age_s, "waiting": self.waiting,
            "disk": "full" if self.is_spilling else "ok", "relay": self.relay,
            "dropped": dict(self.dropped), "warnings": self.warnings(),
        }  # fmt: skip

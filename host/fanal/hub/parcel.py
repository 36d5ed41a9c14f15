"""What a channel is given to send, and how it says that it could not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fanal.error import FanalError


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message as it leaves; a retry is equal to the first try, byte by byte.

    id: 32 hex digits, one per message. sent_ms: when it was made. content: as in `message`.
    cap: the same as CAP 1.2 XML, None for a channel of JSON.
    """

    id: str
    sent_ms: int
    content: dict[str, Any]
    cap: str | None = None


class ChannelDown(FanalError):
    """It was not taken; later it may be. code: "down" (the channel), or "refused" (this message).

    The sentence quotes nothing that the other side said.
    """

    code = "down"


class ChannelGone(FanalError):
    """The other side wants nothing any more, ever."""

    code = "gone"


# sends one; returns what is remarkable about it, or ""; raises ChannelDown, ChannelGone
Sender = Callable[[Parcel], str]

"""Deliveries in, rows of the inbox out: opened, reckoned, written once. SPEC 3.2.

What `take` returns `Taken` for is in the database to stay, and may be acknowledged. One
transaction holds all that came at the same time, those whom the fleet knows first.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from fanal.envelope import (
    MOST_PAYLOAD_BYTES,
    Delivery,
    EnvelopeError,
    HeardFrame,
    OpenedGroup,
    Opener,
    Postmark,
    waited_ms,
)
from fanal.hub.caps import MOST_LISTENERS, Caps, Crowded
from fanal.hub.config import Limits
from fanal.hub.lives import Lives, new_row, tell
from fanal.hub.new_rows import insert_new
from fanal.hub.placed import columns
from fanal.hub.store import Store
from fanal.hub.tables import InboxRow, ListenerRow, ReceivedRow

LATE_MS = 60_000  # what was heard longer ago does not hold up what is heard now

_REPEATED_WITHIN_MS = 10_000  # a gateway that seals nothing says the same several times
_MOST_KEY = 200  # characters, see `tables.ListenerRow`


@dataclass(frozen=True, slots=True)
class Incoming:
    """A delivery as it came. data: untrusted; source: from where, for people.

    held_ms: how long a broker held it, which says so: it counts as waiting, like the listener's.
    """

    data: bytes
    source: str
    received_ms: int
    held_ms: int = 0


@dataclass(frozen=True, slots=True)
class IncomingForeign:
    """One payload from a gateway that seals and signs nothing. gateway: its topic."""

    gateway: str
    payload: bytes
    rssi_dbm: int | None
    received_ms: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was written. groups: new ones; repeated: known before; refused: as in `Delivery`.

    is_enrolled: whether the listener is one of the fleet's own.
    """

    listener: str
    groups: int
    repeated: int
    refused: Mapping[str, str] = field(default_factory=dict)
    is_enrolled: bool = False


@dataclass
class _Arrival:
    """An item on its way in. groups: by content id, the row of the inbox; frames: in all."""

    listener: str
    received_ms: int
    mark: Postmark | None = None
    sealed: Sequence[bytes] = ()
    groups: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    frames: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    is_enrolled: bool = False
    held_ms: int = 0


_Answer = Taken | EnvelopeError | Crowded


class Inbox:
    """Where everything that comes to a hub goes through. For one thread."""

    def __init__(self, store: Store, opener: Opener, limits: Limits | None = None) -> None:
        self.store = store
        self._opener = opener
        self._caps = Caps(limits or Limits())
        self._lives = Lives()

    def take(self, items: Sequence[Incoming | IncomingForeign]) -> list[_Answer]:
        """Take items and return for each what became of it; what is refused is not written.

        Raises EnvironmentFault if the database fails: then nothing at all was taken.
        """
        answers: list[_Answer | _Arrival] = [self._arrive(item) for item in items]
        self._admit(answers)
        arrivals = [one for one in answers if isinstance(one, _Arrival)]
        arrivals.sort(key=lambda one: not one.is_enrolled)
        taken: dict[int, Taken] = {}
        if arrivals:
            with self.store.writing() as session:
                self._keep_groups(session, arrivals, taken)
                news = self._keep_listeners(session, arrivals)
            for one in news:
                self._lives.note(*one)
        return [taken[id(one)] if isinstance(one, _Arrival) else one for one in answers]

    def _arrive(self, item: Incoming | IncomingForeign) -> EnvelopeError | _Arrival:
        if isinstance(item, IncomingForeign):
            return _foreign(item)
        try:
            mark, sealed = self._opener.postmark(item.data)
        except EnvelopeError as refused:
            # where it was raised holds the delivery: whoever keeps the one would keep the other
            refused.__traceback__ = refused.__context__ = None
            return refused
        key, held_ms = mark.listener.hex(), max(0, item.held_ms)
        return _Arrival(key, item.received_ms, mark, sealed, held_ms=held_ms)

    def _admit(self, answers: list[_Answer | _Arrival]) -> None:
        """Open the groups of those from whom something may be taken; the others are Crowded."""
        arrivals = [(i, one) for i, one in enumerate(answers) if isinstance(one, _Arrival)]
        if not arrivals:
            return
        keys = {one.listener for _, one in arrivals}
        with self.store.reading() as session:
            enrolled = set(
                session.scalars(
                    select(ListenerRow.key)
                    .where(ListenerRow.key.in_(keys), ListenerRow.enrolled_ms.is_not(None))
                )
            )  # fmt: skip
        for i, one in arrivals:
            one.is_enrolled = one.listener in enrolled
            crowded = self._caps.check(
                one.listener, one.is_enrolled, one.received_ms, len(one.sealed)
            )
            if crowded is not None:
                answers[i] = crowded
                continue
            if one.mark is not None:
                _put_groups(one, self._opener.groups(one.mark, one.sealed))
            # what was opened costs too, also if nothing was in it
            cost = max(one.frames, 1 + len(one.sealed))
            self._caps.charge(one.listener, one.is_enrolled, cost, one.received_ms, len(one.sealed))

    def _keep_groups(
        self, session: Session, arrivals: Sequence[_Arrival], taken: dict[int, Taken]
    ) -> None:
        """Write every group that is new into the inbox, and its name beside it."""
        received = {name: one.received_ms for one in arrivals for name, _ in one.groups}
        names = [{"content_id": name, "received_ms": received[name]} for name in sorted(received)]
        fresh = set(insert_new(session, ReceivedRow, names, ReceivedRow.content_id))
        rows: list[dict[str, Any]] = []
        for one in arrivals:
            before = len(rows)
            for name, row in one.groups:
                if name in fresh:
                    fresh.remove(name)
                    rows.append(row)
            groups = len(rows) - before
            taken[id(one)] = Taken(one.listener, groups, len(one.groups) - groups, one.refused,
                                   one.is_enrolled)  # fmt: skip
        if rows:
            session.execute(insert(InboxRow), rows)

    def _keep_listeners(
        self, session: Session, arrivals: Sequence[_Arrival]
    ) -> list[tuple[str, Postmark]]:
        """Write how the listeners are, and return what was news."""
        first = {one.listener: one.received_ms - one.held_ms for one in reversed(arrivals)}
        new = [new_row(key, first[key]) for key in sorted(first)]
        is_more = bool(insert_new(session, ListenerRow, new, ListenerRow.key))
        rows = {
            row.key: row
            for row in session.scalars(
                select(ListenerRow).where(ListenerRow.key.in_(first))
                .order_by(ListenerRow.key).with_for_update()
            )
        }  # fmt: skip
        news = []
        for one in sorted(arrivals, key=lambda one: one.received_ms):
            row = rows.get(one.listener)
            if row is None or (one.mark and not self._lives.is_news(one.listener, one.mark)):
                continue
            tell(row, one.mark, one.received_ms - one.held_ms)
            if one.mark is not None:
                news.append((one.listener, one.mark))
        if is_more:
            session.flush()
            _forget_strangers(session)
        return news


def _put_groups(arrival: _Arrival, delivery: Delivery) -> None:
    arrival.groups = [
        (opened.content_id, _row(delivery.postmark, opened, arrival)) for opened in delivery.groups
    ]
    arrival.frames = sum(len(opened.group.frames) for opened in delivery.groups)
    arrival.refused = delivery.refused


def _row(mark: Postmark, opened: OpenedGroup, arrival: _Arrival) -> dict[str, Any]:
    """Return the row of the inbox for a group, its times reckoned by the hub's clock."""
    received_ms = arrival.received_ms

    def reckoned(frame: HeardFrame) -> list[Any]:
        heard_ms = max(0, received_ms - arrival.held_ms - waited_ms(mark, opened.group, frame))
        last_ms = min(received_ms, heard_ms + frame.last_ms - frame.first_ms)
        return [frame.payload.hex(), heard_ms, last_ms, frame.count, frame.rssi_dbm]

    frames = [reckoned(frame) for frame in opened.group.frames]
    return {
        "is_late": all(heard_ms < received_ms - LATE_MS for _, heard_ms, *_ in frames),
        "listener": arrival.listener, "received_ms": received_ms,
        **columns(opened.group.position),
        "frames": frames,
    }  # fmt: skip


def _foreign(item: IncomingForeign) -> _Arrival:
    """Return what a gateway said as an arrival of its own; it was heard when it came."""
    name = "".join(letter if letter.isprintable() else "?" for letter in item.gateway)
    listener = f"mqtt:{name}"[:_MOST_KEY]
    window = item.received_ms // _REPEATED_WITHIN_MS
    payload = item.payload[: MOST_PAYLOAD_BYTES + 1]  # what is longer stays wrong, and bounded
    content = hashlib.sha256(f"{listener}\n{window}\n{payload.hex()}".encode()).hexdigest()
    frame = [payload.hex(), item.received_ms, item.received_ms, 1, item.rssi_dbm]
    row = {"is_late": False, "listener": listener, "received_ms": item.received_ms, **columns(None),
           "frames": [frame]}  # fmt: skip
    return _Arrival(listener, item.received_ms, groups=[(content, row)], frames=1)


def _forget_strangers(session: Session) -> None:
    """Keep the newest of the listeners that nobody enrolled."""
    strangers = ListenerRow.enrolled_ms.is_(None)
    count = session.scalar(select(func.count()).select_from(ListenerRow).where(strangers)) or 0
    if count > MOST_LISTENERS:
        oldest: Iterable[str] = session.scalars(
            select(ListenerRow.key).where(strangers)
            .order_by(ListenerRow.last_received_ms, ListenerRow.key)
            .limit(count - MOST_LISTENERS).with_for_update(skip_locked=True)
        ).all()  # fmt: skip
        session.execute(delete(ListenerRow).where(ListenerRow.key.in_(oldest)))

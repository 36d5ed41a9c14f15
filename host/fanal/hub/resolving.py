"""What is in the inbox becomes sightings and incidents, by one worker at a time.

The work is done in memory, and written in one transaction that also empties the inbox of it: so
nothing is held up while frames are resolved, and nothing is done twice or half. The transaction
begins by taking the turn. If somebody else had it meanwhile, or if anything fails, all that this
worker knows is stale: it is dropped, and made again from the database.

The order is that of receipt, but what waited for long on its way comes after what did not: a
volunteer's days without a network must not hold up an alert. Nothing hangs on the order but that.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from fanal_protocol.line import REPLAY
from sqlalchemy import Row, delete, select, update
from sqlalchemy.orm import Session

from fanal.error import FanalError
from fanal.event_keys import EventKeys
from fanal.heard import Heard, Receipt
from fanal.hub import heard_rows
from fanal.hub.anchors import LATE_MS, due
from fanal.hub.hearsay import is_hearsay
from fanal.hub.incidents import Changed, Incidents
from fanal.hub.keys import seal_anchor
from fanal.hub.placed import place_of
from fanal.hub.recall import Mind, enrolment, recall
from fanal.hub.store import Store, take_turn, touch
from fanal.hub.tables import BeaconRow, InboxRow, ListenerRow, ReceivedRow, TurnRow
from fanal.hub.taking import Taking
from fanal.sighting import Sighting

PATIENCE_MS = 10_000  # without a word from the worker that resolves, another one takes over
RECEIVED_KEPT_MS = 90 * 24 * 3600 * 1000
MOST_RECEIVED = 5_000_000  # names of groups, about 1 GB

_MOST_GROUPS = 64  # in one transaction
_MOST_S = 0.5  # of work for one transaction
_SEARCHED_IDLE = 2000  # events, when nothing else is to be done; 6 us each
_SEARCHED_BUSY = 20_000  # for a second of other work: whoever keeps a hub busy must not end it
_MOST_SINCE_S = 1.0
_IDLE_S = 0.25  # other workers fill the inbox too, and do not wake this one
_AFTER_TROUBLE_S = 1.0
_FORGET_EVERY_MS = 600_000
_MOST_FORGOTTEN = 100_000  # at one time: more than strangers may send meanwhile


class Storage(Protocol):
    """The part of `HubKeys` that is needed here."""

    @property
    def storage(self) -> bytes: ...


class Resolving:
    """One worker that resolves. For one thread.

    worker: its name, for people. late_ms: see `anchors`. changed: see `Incidents`. on_trouble:
    told what failed; the work goes on. index: see `recall`.
    """

    def __init__(
        self,
        store: Store,
        keys: Storage,
        worker: str,
        *,
        changed: Changed | None = None,
        late_ms: int = LATE_MS,
        patience_ms: int = PATIENCE_MS,
        on_trouble: Callable[[Exception], None] = lambda _: None,
        index: Path | None = None,
    ) -> None:
        self._store = store
        self._storage = keys.storage
        # two that run under one name must not take each other for themselves
        self._worker = f"{worker[:23]}-{secrets.token_hex(4)}"
        self._changed = changed
        self._late_ms = late_ms
        self._patience_ms = patience_ms
        self._on_trouble = on_trouble
        self._index = index
        self._mind: Mind | None = None
        self._incidents = Incidents()
        self._at_ms = 0
        self._forgot_ms = 0
        self._searched_s = 0.0

    @property
    def has_more(self) -> bool:
        """Whether there is work that no frame has to come for."""
        return self._mind is not None and (
            bool(self._mind.first) or self._mind.resolver.has_unsearched
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of frames since this worker took over, see `Resolver.counts`."""
        return Counter() if self._mind is None else self._mind.resolver.counts

    @property
    def damaged(self) -> Sequence[str]:
        """Ids of beacons that cannot be resolved, because their key does not open."""
        return [] if self._mind is None else self._mind.damaged

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Resolve until `stop` is set. wake: set when there is something in the inbox."""
        while not stop.is_set():
            wake.clear()
            try:
                is_busy = self.step() > 0 or self.has_more
            except Exception as problem:  # noqa: BLE001
                # a thread that ends here would leave a hub that takes in, and tells nobody
                self._on_trouble(problem)
                stop.wait(_AFTER_TROUBLE_S)
                continue
            if not is_busy:
                wake.wait(_IDLE_S)
        self.release()

    def step(self) -> int:
        """Resolve some of what is in the inbox, and return how many frames that were.

        0: nothing is there, or another worker has the turn. Raises EnvironmentFault if the
        database fails; then nothing was done.
        """
        try:
            return self._step()
        except BaseException:
            self._mind = None
            raise

    def release(self) -> None:
        """Leave the turn to whoever wants it. A database that fails is no reason to wait."""
        if self._mind is not None and self._index is not None:
            # a convenience for the next start: without it the table is made anew
            with suppress(OSError):
                self._mind.resolver.save(self._index, self._storage)
        self._mind = None
        try:
            with self._store.writing() as session:
                session.execute(
                    update(TurnRow).where(TurnRow.worker == self._worker).values(worker="")
                )
        except FanalError as problem:
            self._on_trouble(problem)

    def _step(self) -> int:
        if self._mind is None and not self._wake():
            return 0
        mind = self._mind
        assert mind is not None
        with self._store.reading() as session:
            if enrolment(session) != mind.enrolment:
                self._mind = None
                return self._step()
            rows = session.execute(_INBOX).all()
        taking, mind.first = mind.first, Taking(mind.resolver)
        done = _take(taking, rows)
        if mind.resolver.has_unsearched:
            self._search(taking, is_busy=bool(rows))
        if taking.woken:
            with self._store.reading() as session:
                taking.take_others(lambda rids: heard_rows.alerts_of(session, rids))
        if done or taking or self._is_time_to_forget():
            self._write(mind, done, taking)
        else:
            self._renew()
        return taking.frames if self._mind is mind else 0

    def _search(self, taking: Taking, *, is_busy: bool) -> None:
        """Look for what waits: when busy for a share of the time since this was done last."""
        since_s = min(time.monotonic() - self._searched_s, _MOST_SINCE_S)
        taking.search(int(_SEARCHED_BUSY * since_s) if is_busy else _SEARCHED_IDLE)
        self._searched_s = time.monotonic()

    def _is_time_to_forget(self) -> bool:
        return abs(self._store.now_ms() - self._forgot_ms) >= _FORGET_EVERY_MS

    def _wake(self) -> bool:
        """Take the turn and learn all there is to know; return whether the turn was to be had."""
        with self._store.writing() as session:
            self._at_ms = self._store.now_ms()
            if take_turn(session, self._worker, self._at_ms, self._patience_ms) is None:
                return False
        with self._store.reading() as session:
            self._mind = recall(session, self._storage, self._store.now_ms(), self._renew,
                                self._index)  # fmt: skip
        self._incidents = Incidents(self._changed)
        return True

    def _renew(self) -> None:
        """Say that this worker lives, if others might wonder."""
        now_ms = self._store.now_ms()
        # who has a file of its own need not write to it all day
        if self._store.is_sqlite or abs(now_ms - self._at_ms) < self._patience_ms // 3:
            return
        with self._store.writing() as session:
            if take_turn(session, self._worker, now_ms, self._patience_ms) != self._worker:
                self._mind = None
        self._at_ms = now_ms

    def _write(self, mind: Mind, done: Sequence[int], taking: Taking) -> None:
        """Write what came of some rows of the inbox, and remove them; or know nothing any more."""
        now_ms = self._store.now_ms()
        with self._store.writing() as session:
            if take_turn(session, self._worker, now_ms, self._patience_ms) != self._worker:
                self._mind = None
                return
            heard_rows.keep(session, taking.kept.values(), taking.owners)
            heard_rows.drop_alerts(session, taking.woken)
            self._incidents.apply(session, taking.outcomes)
            heard_rows.drop_pages(session, taking.owners.values())
            newest = _advance(session, mind, taking)
            session.execute(delete(InboxRow).where(InboxRow.id.in_(done)))
            is_time = self._is_time_to_forget()
            anchors = self._let_go(session, mind, now_ms) if newest or is_time else {}
            if is_time:
                self._forgot_ms = now_ms
                heard_rows.forget(session, now_ms)
                _forget_received(session, now_ms)
            if taking.outcomes:
                session.flush()
                touch(session)
        self._at_ms = now_ms
        mind.newest.update(newest)
        mind.let_go(anchors)
        if anchors and self._index is not None:
            # it knows identifiers of events whose keys are gone by now
            with suppress(OSError):
                self._index.unlink(missing_ok=True)

    def _let_go(self, session: Session, mind: Mind, now_ms: int) -> dict[str, EventKeys]:
        """Keep the keys of events that may still come, and no others; return what moved."""
        moved = {}
        for beacon_id, event in sorted(due(session, now_ms, self._late_ms).items()):
            if beacon_id in mind.anchors:
                anchor = moved[beacon_id] = mind.keys_of(beacon_id, event)
                sealed = seal_anchor(self._storage, beacon_id, event, anchor.event_key)
                session.execute(
                    update(BeaconRow)
                    .where(BeaconRow.id == beacon_id, BeaconRow.anchor_event < event)
                    .values(anchor_event=event, anchor=sealed)
                )  # fmt: skip
        return moved


def _advance(session: Session, mind: Mind, taking: Taking) -> dict[str, int]:
    """Write the newest events, and return those that are newer than before."""
    newest: dict[str, int] = {}
    for seen in taking.outcomes:
        if isinstance(seen, Sighting) and seen.verdict != REPLAY:
            known = newest.get(seen.beacon_id, mind.newest[seen.beacon_id])
            if seen.event > known:
                newest[seen.beacon_id] = seen.event
    for beacon_id, event in sorted(newest.items()):
        session.execute(
            update(BeaconRow)
            .where(BeaconRow.id == beacon_id, BeaconRow.newest_event < event)
            .values(newest_event=event)
        )  # fmt: skip
    return newest


_INBOX = (
    select(InboxRow.id, InboxRow.listener, InboxRow.received_ms, InboxRow.latitude,
           InboxRow.longitude, InboxRow.accuracy_m, InboxRow.source, InboxRow.frames,
           ListenerRow.enrolled_ms)
    .outerjoin(ListenerRow, ListenerRow.key == InboxRow.listener)
    .order_by(InboxRow.is_late, InboxRow.id).limit(_MOST_GROUPS)
)  # fmt: skip


def _take(taking: Taking, rows: Sequence[Row[Any]]) -> list[int]:
    """Take rows of the inbox, for a bounded time, and return which."""
    done: list[int] = []
    until_s = time.monotonic() + _MOST_S
    for row in rows:
        at = place_of(row)
        for payload, heard_ms, last_ms, count, rssi_dbm in row.frames:
            is_said = is_hearsay(heard_ms, row.received_ms, row.enrolled_ms is not None)
            receipt = Receipt(row.listener, row.received_ms, last_ms, count, at, is_said)
            taking.take(Heard(bytes.fromhex(payload), rssi_dbm, heard_ms, "", receipt))
        done.append(row.id)
        if time.monotonic() > until_s:
            break
    return done


def _forget_received(session: Session, now_ms: int) -> None:
    """Forget names of groups that no listener can still want to send, and the oldest beyond."""
    newest_first = select(ReceivedRow.received_ms).order_by(ReceivedRow.received_ms.desc())
    beyond_ms = session.scalar(newest_first.offset(MOST_RECEIVED).limit(1))
    until_ms = max(now_ms - RECEIVED_KEPT_MS, -1 if beyond_ms is None else beyond_ms)
    old = (
        select(ReceivedRow.content_id)
        .where(ReceivedRow.received_ms <= until_ms)
        .order_by(ReceivedRow.received_ms).limit(_MOST_FORGOTTEN)
    )  # fmt: skip
    session.execute(delete(ReceivedRow).where(ReceivedRow.content_id.in_(old.scalar_subquery())))

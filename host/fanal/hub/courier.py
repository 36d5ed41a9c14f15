"""What carries messages out of the hub's outbox: each channel by itself, at least once.

A message is claimed, sent, and marked, in that order: whoever dies in between leaves a claim that
runs out, and the message goes out again under the same id. Messages about one thing keep their
order; those about others do not wait for them.
"""

import random
import threading
from collections.abc import Callable, Mapping

from sqlalchemy import String, cast, delete, func, or_, select, update
from sqlalchemy.orm import Session

from fanal.error import FanalError
from fanal.hub import message, notices
from fanal.hub.hub_log import add_line
from fanal.hub.parcel import ChannelDown, ChannelGone, Parcel, Sender
from fanal.hub.store import Store
from fanal.hub.tables import DONE, NOTIFIED, ActionRow, IncidentRow, NoticeRow

GIVE_UP_MS = 3 * 24 * 3600 * 1000
LONGEST_WAIT_MS = 3600 * 1000
LEAST_TRIES = 8  # before it gives up, should the hub itself have been away for days
CLAIM_MS = 120_000  # longer than any sender may take
KEPT_MS = 90 * 24 * 3600 * 1000  # what was taken or given up, once nothing follows

_FIRST_WAIT_MS = 5000
_LOOK_EVERY_S = 1.0
_FORGET_EVERY_S = 3600.0
_GOODBYE_S = 2.0


class Courier:
    """Sends what is due. senders: channel name -> what sends; report: takes one line for the log.

    chance: a number in [0, 1) each time, for the jitter.
    """

    def __init__(
        self,
        store: Store,
        senders: Mapping[str, Sender],
        report: Callable[[str], None] = lambda _: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._senders = senders
        self._report = report
        self._chance = chance
        self._gone: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set: one thread a channel, so that a slow one delays no other."""
        self._guarded(self.give_up_strangers)
        threads = [
            threading.Thread(target=self._serve, args=(name, stop), name=f"to {name}", daemon=True)
            for name in self._senders
        ]
        for thread in threads:
            thread.start()
        while not stop.is_set():
            self._guarded(self.forget)
            stop.wait(_FORGET_EVERY_S)
        for thread in threads:
            thread.join(_GOODBYE_S)  # whoever is stuck is left; its claim runs out

    def step(self) -> int:
        """Send everything that is due, channel by channel; return how many were taken."""
        return sum(self.step_of(name) for name in self._senders)

    def step_of(self, channel: str) -> int:
        """Send what is due by one channel until it fails; return how many were taken."""
        taken = 0
        while (claimed := self._claim(channel)) is not None:
            number, one = claimed
            try:
                if channel in self._gone:
                    raise ChannelGone("It said earlier that it wants nothing any more.")
                remark = self._senders[channel](one)
            except ChannelGone as problem:
                self._gone.add(channel)
                self._report(f"{channel} wants nothing any more and is not used until a restart.")
                self._give_up(number, problem)
            except Exception as problem:  # noqa: BLE001 - a bug in one sender must not end it
                self._failed(number, problem)
                if getattr(problem, "code", "") != "refused":
                    break
            else:
                self._taken(number, remark)
                taken += 1
        return taken

    def give_up_strangers(self) -> None:
        """Give up what is for channels that the configuration does not have any more."""
        with self._store.writing() as session:
            session.execute(
                update(NoticeRow)
                .where(NoticeRow.done_ms.is_(None), NoticeRow.channel.not_in(list(self._senders)))
                .values(done_ms=self._store.now_ms(), failure="unknown: no such channel any more")
            )

    def forget(self) -> None:
        """Remove what was settled long ago, but for incidents that are not closed.

        What comes next of such a one is an Update of what was told, and refers to it.
        """
        closed = select(cast(IncidentRow.id, String)).where(IncidentRow.state == DONE)
        with self._store.writing() as session:
            session.execute(
                delete(NoticeRow)
                .where(NoticeRow.done_ms < self._store.now_ms() - KEPT_MS)
                .where(or_(NoticeRow.subject != notices.INCIDENT, NoticeRow.reference.in_(closed)))
                .execution_options(synchronize_session=False)
            )

    def _serve(self, channel: str, stop: threading.Event) -> None:
        while not stop.is_set():
            self._guarded(lambda: self.step_of(channel))
            stop.wait(_LOOK_EVERY_S)

    def _guarded(self, work: Callable[[], object]) -> None:
        """Do some work; a database that fails now may be back at the next look."""
        try:
            work()
        except FanalError as problem:
            self._report(problem.sentence)

    def _claim(self, channel: str) -> tuple[int, Parcel] | None:
        """Take the next due message for a while, so that no other worker sends it too."""
        first = (
            select(func.min(NoticeRow.id))
            .where(NoticeRow.channel == channel, NoticeRow.done_ms.is_(None))
            .group_by(NoticeRow.subject, NoticeRow.reference)
        )
        now_ms = self._store.now_ms()
        # a clock that was set back, by hours or by years, must not keep an alert that long
        is_due = or_(NoticeRow.tries == 0, NoticeRow.next_ms <= now_ms,
                     NoticeRow.next_ms > now_ms + LONGEST_WAIT_MS)  # fmt: skip
        due = select(NoticeRow).where(NoticeRow.id.in_(first), is_due)
        due = due.order_by(NoticeRow.tries, NoticeRow.id).limit(1)
        with self._store.reading() as session:
            if session.scalars(due).first() is None:
                return None
        with self._store.writing() as session:
            row = session.scalars(due.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            row.tries += 1
            row.next_ms, row.failure = self._store.now_ms() + CLAIM_MS, None
            return row.id, notices.parcel(row)

    def _taken(self, number: int, remark: str) -> None:
        now_ms = self._store.now_ms()
        with self._store.writing(shows=True) as session:
            row = session.get_one(NoticeRow, number)
            row.done_ms, channel = now_ms, row.channel
            if row.message == message.ALERT:
                detail = f"{channel} took the alert"
                _note(session, row, now_ms, f"{detail}: {remark}" if remark else detail)
        self._release(channel, now_ms)

    def _release(self, channel: str, now_ms: int) -> None:
        """Let what waits for a channel go at once: it works again.

        Apart from what was taken, and nothing is waited for: no two transactions can block each
        other, and what is missed here goes at its own time.
        """
        waits = select(NoticeRow).where(
            NoticeRow.channel == channel,
            NoticeRow.done_ms.is_(None),
            NoticeRow.next_ms > now_ms,
            NoticeRow.failure.like("down:%"),
        )
        with self._store.reading() as session:
            if session.scalars(waits.limit(1)).first() is None:
                return
        with self._store.writing() as session:
            for row in session.scalars(waits.with_for_update(skip_locked=True)):
                row.next_ms = now_ms

    def _failed(self, number: int, problem: Exception) -> None:
        now_ms = self._store.now_ms()
        with self._store.writing() as session:
            row = session.get_one(NoticeRow, number)
            row.failure = _failure(problem)
            is_hopeless = now_ms - row.created_ms >= GIVE_UP_MS and row.tries >= LEAST_TRIES
            if not is_hopeless:
                wait_ms = min(_FIRST_WAIT_MS << min(row.tries - 1, 20), LONGEST_WAIT_MS)
                row.next_ms = now_ms + int(wait_ms * (0.5 + self._chance() / 2))
                self._report(f"{row.channel} did not take a message: {row.failure}")
        if is_hopeless:
            self._give_up(number, problem)

    def _give_up(self, number: int, problem: Exception) -> None:
        now_ms = self._store.now_ms()
        with self._store.writing(shows=True) as session:
            row = session.get_one(NoticeRow, number)
            row.done_ms, row.failure = now_ms, _failure(problem)
            _note(session, row, now_ms,
                  f"FAILED: {row.channel} was not told ({row.message}): {row.failure}")  # fmt: skip


def _failure(problem: Exception) -> str:
    if isinstance(problem, (ChannelDown, ChannelGone)):
        return f"{problem.code}: {problem.sentence}"
    return f"failed: {type(problem).__name__}"  # its text may quote a secret


def _note(session: Session, row: NoticeRow, at_ms: int, detail: str) -> None:
    """Write into an incident's timeline what became of a message about it."""
    if row.subject == notices.INCIDENT:
        add_line(session, ActionRow(incident=int(row.reference), at_ms=at_ms, who="hub",
                                    what=NOTIFIED, detail=detail))  # fmt: skip

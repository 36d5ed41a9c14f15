"""The queue before the inbox: whoever sends waits for one commit, and many share it."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from fanal.error import EnvironmentFault, FanalError
from fanal.hub.inbox import Inbox, Incoming, IncomingForeign, Taken

MOST_ITEMS = 256  # in one transaction
MOST_BATCH_BYTES = 1 << 20  # so that nobody waits for long behind large ones
_OVERHEAD_BYTES = 512  # of an item beside its data


class IntakeFull(FanalError):
    """More waits than fits; the sender keeps it, and tries again."""

    def __init__(self) -> None:
        super().__init__("The hub has no room for more at the moment.", "It is tried again.",
                         7, code="full")  # fmt: skip


@dataclass(frozen=True)
class _Waiting:
    item: Incoming | IncomingForeign
    future: Future[Taken]
    size: int


class Intake:
    """A thread that puts into an inbox what any thread submits, in the order of arrival.

    A future has `Taken` once it is in the database, or the FanalError: EnvelopeError, Crowded, or
    EnvironmentFault if the database failed. most_bytes: what may wait. on_taken: called after each
    commit, from the thread.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        most_bytes: int = 32 << 20,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        self._inbox = inbox
        self._most_bytes = most_bytes
        self._on_taken = on_taken
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def submit(self, data: bytes, source: str, held_ms: int = 0) -> Future[Taken]:
        """Put a delivery into the queue. Raises IntakeFull at once, also when it is closed.

        held_ms: see Incoming.
        """
        item = Incoming(data, source, self._inbox.store.now_ms(), held_ms)
        return self._submit(item, len(data))

    def submit_foreign(
        self, gateway: str, payload: bytes, rssi_dbm: int | None, received_ms: int
    ) -> Future[Taken]:
        """Put what a gateway that seals nothing heard into the queue. Raises IntakeFull."""
        return self._submit(IncomingForeign(gateway, payload, rssi_dbm, received_ms), len(payload))

    def close(self) -> None:
        """Take nothing more, put in what waits, and return when that is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _submit(self, item: Incoming | IncomingForeign, size: int) -> Future[Taken]:
        waiting = _Waiting(item, Future(), size + _OVERHEAD_BYTES)
        with self._changed:
            if self._is_closed or self._bytes + waiting.size > self._most_bytes:
                raise IntakeFull
            self._bytes += waiting.size
            self._queue.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def _run(self) -> None:
        while batch := self._next():
            self._take([one for one in batch if one.future.set_running_or_notify_cancel()])
            with self._changed:
                self._bytes -= sum(one.size for one in batch)

    def _next(self) -> list[_Waiting]:
        """Wait for work and return some of it; nothing if it is closed and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            batch: list[_Waiting] = []
            size = 0
            while self._queue and len(batch) < MOST_ITEMS and size < MOST_BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += batch[-1].size
            return batch

    def _take(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            answers = self._inbox.take([one.item for one in batch])
        except EnvironmentFault as fault:
            for one in batch:
                one.future.set_exception(fault)
            return
        except Exception as problem:  # noqa: BLE001
            if len(batch) > 1:
                # one item must not take the others with it
                for one in batch:
                    self._take([one])
            else:
                batch[0].future.set_exception(problem)
            return
        self._on_taken()
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Taken):
                one.future.set_result(answer)
            else:
                one.future.set_exception(answer)

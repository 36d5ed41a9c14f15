"""A batch of beacons on paper: which rows there are, which board got which, what became of it.

A batch is a folder. `plan.json` is written once. `journal.jsonl` grows by one line, synced, after
every step; everything else that is known of a batch follows from it, so that a cut of power loses
at most the line that was being written. `results.csv` and `results.json` are made from it anew
after every outcome. No secret is in any of them.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, Self

from filelock import FileLock, Timeout

from fanal.batch_list import Row, require_size
from fanal.beacon_name import shown
from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.keyring import sync_folder, write_private

PLAN, JOURNAL, RESULTS_CSV, RESULTS_JSON = (
    "plan.json",
    "journal.jsonl",
    "results.csv",
    "results.json",
)
BATCHES = "batches"  # of a fleet: the folder in its own, a batch in each of its folders
_LOCK = "lock"

# what became of a row
DONE = "done"
FAILED = "failed"  # the board, or its firmware, is not right
INFRA = "infra"  # the cable, the port, the computer: it says nothing about the board
OPEN = "open"  # no board yet, or one that is not finished


@dataclass(frozen=True)
class Result:
    """What became of a row so far. mac, beacon_id, chip: None until they are known.

    time: ISO 8601, UTC. outcome: DONE, FAILED, INFRA or OPEN; reason: why it is not DONE. step: the
    last one that was completed.
    """

    number: int
    label: str
    site: str
    notes: str
    mac: str | None = None
    chip: str | None = None
    beacon_id: str | None = None
    step: str = ""
    outcome: str = OPEN
    reason: str = ""
    time: str = ""
    seconds: float | None = None
    technician: str = ""
    station: int | None = None
    tool: str = ""
    image_sha256: str = ""
    firmware_sha256: str = ""


@dataclass
class Batch:
    """An open batch. Use `create` or `open`, and `with`: one command has it at a time.

    grows: what each further board gets a row like, in a batch without a list; None with one.
    """

    folder: Path
    rows: tuple[Row, ...]
    grows: Row | None = None
    results: dict[int, Result] = field(default_factory=dict)
    is_torn: bool = False  # the last line of the journal was cut short

    @classmethod
    def create(cls, folder: Path, rows: Iterable[Row], grows: Row | None = None) -> Self:
        """Make a batch of these rows; the same again opens it. Raises UsageError.

        grows: make one without a list, in which every board gets such a row.
        """
        wanted = tuple(rows)
        if grows is None:
            require_size(len(wanted))
        if (folder / PLAN).exists():
            batch = cls.open(folder)
            if batch.grows != grows or (grows is None and batch.rows != wanted):
                raise UsageError(
                    f"The batch {folder.name} exists, with another list; it was not touched.",
                    "Go on with it by --batch alone, or choose another name.",
                    code="batch_exists",
                )
            return batch
        for place in (folder.parent, folder):  # parents of a mkdir would be open to others
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan: dict[str, Any] = {"fanal_batch": 1, "rows": [asdict(row) for row in wanted]}
        if grows is not None:
            plan["grows"] = asdict(grows)
        write_private(folder / PLAN, json.dumps(plan, indent=1).encode() + b"\n")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a batch as its journal has it. Raises UsageError (there is none), IntegrityError."""
        try:
            plan = json.loads((folder / PLAN).read_text())
            if plan["fanal_batch"] != 1:
                raise ValueError
            rows = tuple(Row(**row) for row in plan["rows"])
            grows = Row(**plan["grows"]) if "grows" in plan else None
        except FileNotFoundError:
            raise UsageError(
                f"There is no batch in {folder}.",
                "Begin one with --list FILE or --count N.",
                code="no_batch",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise _damaged(folder / PLAN) from None
        batch = cls(folder, rows, grows, {row.number: _blank(row) for row in rows})
        batch._replay()
        return batch

    def __enter__(self) -> Self:
        """Take the batch for this command. Raises EnvironmentFault if another one has it."""
        self._lock = RLock()
        self._held = FileLock(self.folder / _LOCK, thread_local=False, mode=0o600)
        try:
            self._held.acquire(timeout=0)
        except Timeout:
            raise EnvironmentFault(
                f"The batch {self.folder.name} is in use by another command.",
                "Wait for it, or stop it.",
                code="busy",
            ) from None
        try:
            self._read_again()
            if self.is_torn:
                self._mend()
            self._journal = open(self.folder / JOURNAL, "ab", opener=_private)
            sync_folder(self.folder)
        except BaseException:
            self._held.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        self._held.release()

    # -- what happens to it

    def assign(self, mac: str, chip: str) -> Row | None:
        """Return the row of this board: the one that it has, else the first that is free.

        None if all are taken. Written before anything is done with it.
        """
        with self._lock:
            row = self.row_of(mac)
            if row is None:
                row = self._free() or self._added()
                if row is None:
                    return None
                self._note(row.number, "assigned", mac=mac, chip=chip)
            return row

    def row_of(self, mac: str) -> Row | None:
        """Return the row that this board has, or None."""
        return next((row for row in self.rows if self.results[row.number].mac == mac), None)

    def _free(self) -> Row | None:
        return next((row for row in self.rows if self.results[row.number].mac is None), None)

    def _added(self) -> Row | None:
        """Return a further row, if the batch has no list."""
        if self.grows is None:
            return None
        number = len(self.rows) + 1
        self._note(number, "added")
        return self.rows[-1]

    def release(self, number: int, reason: str, *, is_retired: bool = False) -> None:
        """Free a row whose board will not be finished. Raises UsageError if it is done or free.

        is_retired: its beacon is out of service, so that no other board gets its place twice.
        """
        with self._lock:
            result = self.results.get(number)
            if result is None or result.mac is None:
                raise UsageError(
                    f"Row {number} has no board that could be given up.",
                    "See the batch's results for the rows that are open.",
                )
            if result.beacon_id is not None and not is_retired:
                raise UsageError(
                    f"The board of row {number} is beacon {shown(result.beacon_id)}, in service.",
                    f"Retire it first: `fanal retire {result.beacon_id} --without-board`.",
                    code="in_service",
                )
            self._note(number, "released", reason=reason)

    def step(self, number: int, step: str, **facts: Any) -> None:
        """Record that a step is completed. facts: fields of Result that are known now."""
        with self._lock:
            self._note(number, "step", step=step, **facts)

    def outcome(self, number: int, outcome: str, reason: str = "", **facts: Any) -> Result:
        """Record what became of a board, and bring the results up to date."""
        with self._lock:
            self._note(number, "outcome", outcome=outcome, reason=reason, **facts)
            # Windows keeps a file that a spreadsheet shows; the journal has it, the end writes it
            with suppress(PermissionError):
                self.write_results()
            return self.results[number]

    def counts(self) -> dict[str, int]:
        """Return how many rows are done, failed, infra, open."""
        found = dict.fromkeys((DONE, FAILED, INFRA, OPEN), 0)
        for result in self.results.values():
            found[result.outcome] += 1
        return found

    def write_results(self) -> None:
        """Make `results.csv` and `results.json` from what is known."""
        rows = [asdict(self.results[row.number]) for row in self.rows]
        text = io.StringIO()
        names = [column.name for column in fields(Result)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        write_private(self.folder / RESULTS_CSV, text.getvalue().encode())
        write_private(self.folder / RESULTS_JSON, json.dumps(rows, indent=1).encode() + b"\n")

    # -- the journal

    def _read_again(self) -> None:
        """Take what another command wrote between the first look and the lock."""
        there = type(self).open(self.folder)
        if there.grows != self.grows or (self.grows is None and there.rows != self.rows):
            raise UsageError(
                f"The batch {self.folder.name} was begun by another command, with another list.",
                "Go on with it by --batch alone, or choose another name.",
                code="batch_exists",
            )
        self.rows, self.results, self.is_torn = there.rows, there.results, there.is_torn

    def _note(self, number: int, event: str, **facts: Any) -> None:
        line = {"time": _now(), "number": number, "event": event, **facts}
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._apply(line)

    def _apply(self, line: Mapping[str, Any]) -> None:
        facts = dict(line)
        number, event = facts.pop("number"), facts.pop("event")
        if event == "added":
            if self.grows is None or number != len(self.rows) + 1:
                raise ValueError("a row out of turn")
            row = replace(self.grows, number=number)
            self.rows, self.results[number] = (*self.rows, row), _blank(row)
            return
        if event == "released":
            self.results[number] = _blank(next(row for row in self.rows if row.number == number))
            return
        if event == "assigned":
            facts |= {"outcome": OPEN, "reason": "", "step": ""}
        self.results[number] = replace(self.results[number], **facts)

    def _replay(self) -> None:
        lines = _read(self.folder / JOURNAL).split(b"\n")
        self.is_torn = lines[-1] != b""  # a line ends with its line feed: this one was cut short
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, StopIteration):
                raise _damaged(self.folder / JOURNAL, number) from None

    def _mend(self) -> None:
        """Cut a torn last line off: it was never told to anybody."""
        path = self.folder / JOURNAL
        raw = path.read_bytes()
        write_private(path, raw[: raw.rfind(b"\n") + 1])
        self.is_torn = False


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _blank(row: Row) -> Result:
    return Result(row.number, row.label, row.site, row.notes)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read(path: Path) -> bytes:
    """Return the bytes of a file, none of one that is not there yet."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _damaged(path: Path, line: int | None = None) -> FanalError:
    where = f", line {line}" if line else ""
    return IntegrityError(
        f"{path} is damaged{where}.", "Take it from your backup, or begin another batch.",
        code="damaged",
    )  # fmt: skip

"""What is in the outbox stays until it is removed, whatever happens; and nothing else is kept."""

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from fanal.error import EnvironmentFault
from fanal.gateway.cargo import Cargo
from fanal.gateway.outbox import MOST_REFUSED, OUTBOX_FILE, Outbox, OutboxFull, OutboxInUse

from tests.unit.small_disk import SmallDisk, small_disk

__all__ = ["small_disk"]

ALL = (1 << 40, 1 << 40)
IO = Path("/proc/self/io")


def sealed(number: int, size: int = 1300) -> bytes:
    return random.Random(number).randbytes(size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / OUTBOX_FILE


def contents(outbox: Outbox) -> list[bytes]:
    return [data for _, data in outbox.next(*ALL)]


def full(outbox: Outbox, pages: int | None = None) -> None:
    """Have SQLite find the disk full at its present size, or let it grow."""
    (now,) = outbox._database.execute("PRAGMA page_count").fetchone()
    outbox._database.execute(f"PRAGMA max_page_count = {now if pages is None else pages}")


def added_until(outbox: Outbox, code: str, size: int = 1300) -> int:
    """Add groups, number 1000 first, until that happens; return how many."""
    for added in range(3000):
        try:
            outbox.add(sealed(1000 + added, size))
        except OutboxFull as problem:
            if problem.code == code:
                return added
            raise
    raise AssertionError("there is room for everything")


def written_bytes() -> int:
    """Return how many bytes this process has written to files."""
    return int(dict(line.split(": ") for line in IO.read_text().splitlines())["wchar"])


def test_oldest_first_within_both_bounds(path):
    outbox = Outbox(path)
    numbers = [outbox.add(sealed(i, 100)) for i in range(10)]
    assert [n for n, _ in outbox.next(1 << 20, 4)] == numbers[:4]
    assert [n for n, _ in outbox.next(350, 100)] == numbers[:3]
    assert [n for n, _ in outbox.next(1, 100)] == numbers[:1]  # never none
    assert outbox.get([numbers[5], 999, numbers[2]]) == [
        (numbers[2], sealed(2, 100)),
        (numbers[5], sealed(5, 100)),
    ]
    assert len(outbox) == 10
    outbox.close()


def test_it_stays_through_a_restart(path):
    outbox = Outbox(path)
    kept = [outbox.add(sealed(i)) for i in range(5)]
    outbox.remove(kept[1:3])
    outbox.close()
    again = Outbox(path)
    assert contents(again) == [sealed(0), sealed(3), sealed(4)]
    assert (len(again), again._bytes) == (3, 3 * 1300)
    again.close()


def test_what_is_removed_is_gone_from_the_files(path):
    outbox = Outbox(path)
    numbers = [outbox.add(sealed(i)) for i in range(400)]
    for at in range(0, 400, 40):
        outbox.remove(numbers[at : at + 40])
    assert (len(outbox), outbox._bytes, contents(outbox)) == (0, 0, [])
    on_disk = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert not [i for i in range(400) if sealed(i)[:16] in on_disk or sealed(i)[-16:] in on_disk]
    assert path.stat().st_size < 100_000  # and the room is given back
    outbox.close()


def test_removing_twice_or_nothing_changes_nothing(path):
    outbox = Outbox(path)
    one, two = outbox.add(sealed(1)), outbox.add(sealed(2))
    outbox.remove([])
    outbox.remove([one, one, 999])
    outbox.remove([one])
    assert (len(outbox), contents(outbox)) == (1, [sealed(2)])
    outbox.refuse([one])
    outbox.refuse([two])
    assert (len(outbox), outbox._bytes) == (0, 0)
    outbox.close()


def test_refused_ones_are_kept_apart_and_bounded(path):
    outbox = Outbox(path)
    outbox.refuse([outbox.add(sealed(i, 50)) for i in range(MOST_REFUSED + 30)])
    rows = outbox._database.execute("SELECT sealed FROM refused ORDER BY id").fetchall()
    assert [row[0] for row in rows] == [sealed(i, 50) for i in range(30, MOST_REFUSED + 30)]
    assert len(outbox) == 0
    outbox.close()


def test_its_own_bound(path):
    outbox = Outbox(path, most_bytes=3000)
    first = outbox.add(sealed(1))
    outbox.add(sealed(2))
    with pytest.raises(OutboxFull) as caught:
        outbox.add(sealed(3))
    assert caught.value.code == "outbox_full"
    outbox.remove([first])
    outbox.add(sealed(3))
    assert contents(outbox) == [sealed(2), sealed(3)]
    outbox.close()


def test_two_programs_never_share_one(path):
    outbox = Outbox(path)
    with pytest.raises(OutboxInUse) as caught:
        Outbox(path)
    assert "--state" in caught.value.hint
    outbox.add(sealed(1))
    outbox.close()
    Outbox(path).close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_nobody_else_may_read_it(path):
    outbox = Outbox(path)
    outbox.add(sealed(1))
    outbox.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_group_is_synced_to_the_disk(path):
    # no test can cut the power: this is what SQLite promises to survive it with
    outbox = Outbox(path)
    values = [outbox._database.execute(f"PRAGMA {name}").fetchone()[0]
              for name in ("journal_mode", "synchronous")]  # fmt: skip
    assert values == ["wal", 2]
    outbox.close()


def test_no_table_holds_a_time_or_a_text(path):
    outbox = Outbox(path)
    rows = outbox._database.execute("SELECT name, sql FROM sqlite_master").fetchall()
    assert {name for name, _ in rows} == {"waiting", "refused"}
    assert all(sql.endswith("(id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)") for _, sql in rows)
    outbox.close()


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_one_is_put_aside(path, content):
    for _ in range(2):
        path.write_bytes(content)
        outbox = Outbox(path)
        assert outbox.was_damaged
        outbox.add(sealed(1))
        assert contents(outbox) == [sealed(1)]
        outbox.close()
    aside = [file for file in path.parent.iterdir() if file.suffix == ".damaged"]
    assert [file.read_bytes() for file in aside] == [content] * 2


@pytest.mark.skipif(not IO.exists(), reason="needs Linux, which counts what is written")
def test_to_open_a_large_one_writes_nothing(path):
    """A disk that is full, with days of groups on it, is when that matters."""
    outbox = Outbox(path)
    with outbox._transaction() as database:
        rows = ((os.urandom(4000),) for _ in range(2000))
        database.executemany("INSERT INTO waiting (sealed) VALUES (?)", rows)
    outbox.close()
    before = written_bytes()
    outbox = Outbox(path)
    assert len(outbox) == 2000
    assert written_bytes() - before < 100_000
    outbox.close()


def test_damage_in_the_middle_raises_nothing_but_its_own_errors(path):
    outbox = Outbox(path)
    for i in range(200):
        outbox.add(sealed(i))
    outbox.close()
    whole = path.read_bytes()
    for at in range(4096, len(whole), 4096 * 7):
        path.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
        path.with_name("outbox.spare").unlink(missing_ok=True)
        try:
            outbox = Outbox(path)
        except EnvironmentFault:
            continue
        cargo = Cargo(outbox, lambda: 0.0)
        cargo.add(sealed(1000))
        items = cargo.next(1 << 16, 64)
        assert items
        cargo.remove([number for number, _ in items])
        cargo.refuse([number for number, _ in cargo.next(1 << 16, 64)])
        cargo.settle()
        outbox.close()


CHILD = """
import sys
from pathlib import Path
from fanal.gateway.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
for number in range(10**6):
    added = outbox.add(number.to_bytes(4, "big") * 300)
    print("added", number, flush=True)
    if number % 3 == 2:
        outbox.remove([added])
        print("removed", number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 4, 57])
def test_killed_at_any_moment_it_has_what_it_said_it_has(path, lines):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = [child.stdout.readline().split() for _ in range(lines)]
    child.kill()
    said += [line.split() for line in child.stdout.read().splitlines()]
    child.wait()
    child.stdout.close()
    said = [line for line in said if len(line) == 2]  # the last one may be cut
    outbox = Outbox(path)
    there = {int.from_bytes(data[:4], "big") for data in contents(outbox)}
    removed = {int(number) for what, number in said if what == b"removed"}
    added = {int(number) for what, number in said if what == b"added"} - removed
    # of the last one it had no time to speak
    assert not there & removed
    assert added - there <= {max(added, default=0)}
    assert there - added <= {max(there, default=0)}
    assert not outbox.was_damaged
    outbox.close()


def test_a_full_disk_takes_nothing_and_loses_nothing(path):
    outbox = Outbox(path)
    numbers = [outbox.add(sealed(i, 3000)) for i in range(20)]
    full(outbox)
    assert added_until(outbox, "disk_full", 3000) < 20
    assert contents(outbox)[:20] == [sealed(i, 3000) for i in range(20)]
    full(outbox, 1 << 30)
    outbox.remove(numbers)
    outbox.add(sealed(77))
    assert contents(outbox)[-1] == sealed(77)
    outbox.close()


def test_a_disk_that_is_really_full(small_disk: SmallDisk):
    path = small_disk.path / OUTBOX_FILE
    outbox = Outbox(path)
    numbers = [outbox.add(sealed(i)) for i in range(100)]
    small_disk.fill()
    kept = added_until(outbox, "disk_full")
    # it can be emptied all the same, by the room that was kept for that
    outbox.remove(numbers)
    assert len(outbox) == kept
    assert contents(outbox) == [sealed(1000 + i) for i in range(kept)]
    outbox.remove([number for number, _ in outbox.next(*ALL)])
    assert len(outbox) == 0
    small_disk.fill()
    outbox.close()
    # and it opens while the disk is full
    again = Outbox(path)
    assert contents(again) == []
    again.close()
    small_disk.free()
    again = Outbox(path)
    again.add(sealed(5))
    assert contents(again) == [sealed(5)]
    again.close()


def test_a_disk_without_room_from_the_first_run_on(small_disk: SmallDisk):
    small_disk.fill()
    with pytest.raises(EnvironmentFault) as caught:
        Outbox(small_disk.path / OUTBOX_FILE)
    assert "room" in caught.value.hint
    small_disk.free()
    Outbox(small_disk.path / OUTBOX_FILE).close()


def test_a_newer_one_is_not_touched(path):
    Outbox(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(EnvironmentFault) as caught:
        Outbox(path)
    assert caught.value.code == "newer"


class TestCargo:
    def test_memory_takes_over_and_gives_back(self, path):
        outbox = Outbox(path, most_bytes=2600)
        cargo = Cargo(outbox, lambda: 0.0)
        for i in range(4):
            cargo.add(sealed(i))
        assert (len(cargo), cargo.is_spilling, dict(cargo.dropped)) == (4, True, {"outbox_full": 2})
        cargo.settle()
        assert cargo.is_spilling
        outbox.remove([number for number, _ in outbox.next(*ALL)])
        cargo.settle()
        assert (len(cargo), cargo.is_spilling) == (2, False)
        assert contents(outbox) == [sealed(2), sealed(3)]
        outbox.close()

    def test_what_was_in_memory_stays_fresh_on_the_disk(self, path):
        backlog = Outbox(path)
        for i in range(20):
            backlog.add(sealed(i))
        backlog.close()
        outbox = Outbox(path, most_bytes=0)
        cargo = Cargo(outbox, lambda: 0.0)
        cargo.add(sealed(100))
        outbox._most_bytes = 1 << 20
        cargo.settle()
        assert not cargo.is_spilling
        ((number, data),) = cargo.next(1300, 1)
        assert data == sealed(100)
        cargo.remove([number])
        assert len(cargo) == 20
        outbox.close()

    def test_memory_is_bounded_and_keeps_the_newest(self, path):
        outbox = Outbox(path, most_bytes=0)
        cargo = Cargo(outbox, lambda: 0.0, most_memory_bytes=2600)
        for i in range(5):
            cargo.add(sealed(i))
        assert dict(cargo.dropped) == {"outbox_full": 5, "memory_full": 3}
        assert [data for _, data in cargo.next(*ALL)] == [sealed(3), sealed(4)]
        cargo.remove([number for number, _ in cargo.next(*ALL)])
        assert (len(cargo), cargo.next(*ALL)) == (0, [])
        outbox.close()

    def test_what_is_fresh_and_what_is_old_take_turns(self, path):
        now = [0.0]
        outbox = Outbox(path)
        old = Cargo(outbox, lambda: now[0])
        for i in range(6):
            old.add(sealed(i))
        cargo = Cargo(outbox, lambda: now[0])  # as after a restart
        cargo.add(sealed(10))
        cargo.add(sealed(11))
        order = []
        while items := cargo.next(1 << 20, 1):
            order += [data for _, data in items]
            cargo.remove([number for number, _ in items])
        assert order == [sealed(i) for i in (10, 0, 11, 1, 2, 3, 4, 5)]
        outbox.close()

    def test_what_was_not_taken_keeps_its_turn(self, path):
        outbox = Outbox(path)
        Cargo(outbox, lambda: 0.0).add(sealed(0))
        cargo = Cargo(outbox, lambda: 0.0)
        cargo.add(sealed(10))
        cargo.add(sealed(11))
        for expected in (10, 0, 11):
            for _ in range(3):  # the hub says "not now"
                ((number, data),) = cargo.next(1 << 20, 1)
                assert data == sealed(expected)
            cargo.remove([number])
        outbox.close()

    def test_what_is_fresh_grows_old(self, path):
        now = [0.0]
        outbox = Outbox(path)
        cargo = Cargo(outbox, lambda: now[0])
        cargo.add(sealed(0))
        now[0] += 601
        cargo.add(sealed(1))
        assert cargo.next(1 << 20, 1)[0][1] == sealed(1)
        outbox.close()

    def test_a_number_that_is_used_again_is_another_group(self, path):
        outbox = Outbox(path)
        cargo = Cargo(outbox, lambda: 0.0)
        for i in range(10):
            cargo.add(sealed(i))
            ((number, data),) = cargo.next(*ALL)
            assert data == sealed(i)
            cargo.remove([number])
        assert (len(cargo), len(cargo._fresh)) == (0, 0)
        outbox.close()

    def test_an_outbox_that_cannot_be_read_leaves_what_is_in_memory(self, path):
        outbox = Outbox(path, most_bytes=1300)
        cargo = Cargo(outbox, lambda: 0.0)
        cargo.add(sealed(0))
        cargo.add(sealed(1))
        outbox.close()  # from here on it fails in every way
        cargo.add(sealed(2))
        assert [data for _, data in cargo.next(*ALL)] == [sealed(1), sealed(2)]
        cargo.remove([-1])
        cargo.settle()
        assert [data for _, data in cargo.next(*ALL)] == [sealed(2)]

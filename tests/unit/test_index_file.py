"""A saved table: whole or not at all, of this hub or not at all, and of today."""

import operator
import os
import random
from pathlib import Path

import pytest
from fanal import index_file
from fanal.event_keys import EventKeys
from fanal.index_file import MAGIC, Unusable, load
from fanal.resolver import Resolver
from fanal.wide_watch import WideWatch
from fanal_protocol.line import DUPLICATE, FRESH

from tests.unit.paper_beacon import T0, PaperBeacon, heard

STORAGE = bytes(range(32))
BEACONS = [PaperBeacon(number) for number in range(1, 7)]
HOUR_MS = 3_600_000


def anchors(events: tuple[int, ...] = (1, 1, 1, 1)) -> list[EventKeys]:
    return [one.first_keys().ahead(event) for one, event in zip(BEACONS, events, strict=False)]


def made(behind: int = 1) -> Resolver:
    resolver = Resolver([], behind=behind)
    resolver._watch = WideWatch(2, behind)
    resolver.watch(anchors())
    return resolver


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rids.index"
    assert made().save(path, STORAGE)
    return path


def taken_up(path: Path, *args: object, **named: object) -> Resolver:
    resolver = Resolver([])
    assert resolver.watch_saved(path, STORAGE, *args, **named) is None
    return resolver


def why(path: Path, watched: list[EventKeys], storage: bytes = STORAGE, **named: object) -> str:
    resolver = Resolver([], behind=named.pop("behind", 1))
    reason = resolver.watch_saved(path, storage, watched, **named)
    assert reason is not None
    assert len(resolver._watch) == 0
    resolver.watch(watched)  # made anew
    assert resolver.take(heard(BEACONS[0].alert(watched[0].event)))[0].verdict == FRESH
    return reason


def test_it_goes_on_as_if_it_had_been_made(path: Path) -> None:
    resolver = taken_up(path, anchors())
    for number, one in enumerate(BEACONS[:4]):
        for event in (1, 2):
            seen = resolver.take(heard(one.alert(event, 900 * number), T0 + event * HOUR_MS))[0]
            assert (seen.beacon_id, seen.event, seen.slot) == (one.id, event, number)
    assert resolver.take(heard(BEACONS[4].alert(1)))[0].reason == "unknown"


def test_it_is_for_its_owner_alone_and_shows_nothing(path: Path) -> None:
    content = path.read_bytes()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    for one in BEACONS[:4]:
        shown = (one.key(1), one.key(2), one.public_key, one.id.encode(), one.rid(1, 0),
                 one.rid(2, 95)[:4])  # fmt: skip
        assert not any(secret in content for secret in shown)


def test_it_brings_back_no_key(path: Path) -> None:
    saved = load(path, STORAGE)
    content = saved.rows.tobytes() + saved.runs[0].refs.tobytes()
    for one in BEACONS[:4]:
        assert one.public_key in content
        assert not any(one.key(1)[at : at + 8] in content for at in range(0, 32, 8))


def test_two_files_of_one_table_have_nothing_in_common(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    made().save(other, STORAGE)
    one, two = path.read_bytes(), other.read_bytes()
    assert len(one) == len(two)
    assert sum(a == b for a, b in zip(one[64:4096], two[64:4096], strict=True)) < 64


def test_every_truncation_and_every_kind_of_flip_is_found(path: Path) -> None:
    content = path.read_bytes()
    dice = random.Random(1)
    lengths = [*range(130), *(dice.randrange(len(content)) for _ in range(20)), len(content) - 1]
    broken = [content[:length] for length in lengths]
    broken += [content + b"\0", content * 2, b""]
    bits = [*range(8 * 64), *(dice.randrange(8 * len(content)) for _ in range(60))]
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        broken.append(bytes(flipped))
    for one in broken:
        path.write_bytes(one)
        with pytest.raises(Unusable):
            load(path, STORAGE)


def test_chunks_cannot_change_places(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanal.index_file._CHUNK_BYTES", 4096)
    made().save(path, STORAGE)
    content = path.read_bytes()
    assert load(path, STORAGE).rows["anchor"].tolist() == [1, 1, 1, 1]
    size, chunks = 4096 + 16, content[64:]
    swapped = content[:64] + chunks[size : 2 * size] + chunks[:size] + chunks[2 * size :]
    for one in (swapped, content[:64] + chunks[size:], content[:-size]):
        path.write_bytes(one)
        with pytest.raises(Unusable):
            load(path, STORAGE)


def test_a_file_of_another_kind_hub_or_release_is_named(path: Path, tmp_path: Path) -> None:
    assert why(path, anchors(), bytes(32)) == "damaged"
    assert why(tmp_path / "none", anchors()) == "missing"
    assert why(tmp_path, anchors()) == "unreadable"
    content = path.read_bytes()
    path.write_bytes(content[:16] + b"\x02" + content[17:])
    assert why(path, anchors()) == "version"
    path.write_bytes(b"x" * len(content))
    assert why(path, anchors()) == "version"
    assert content.startswith(MAGIC)
    path.write_bytes(content)
    assert why(path, anchors(), behind=64) == "window"


def test_what_was_added_or_moved_since_is_entered(path: Path) -> None:
    now = [BEACONS[4].first_keys(), *reversed(anchors((1, 3, 1, 2))), BEACONS[5].first_keys()]
    lines = {(BEACONS[0].id, 5): [(T0, 0, 0)], (BEACONS[4].id, 2): [(T0, 0, 0)]}
    newest = {BEACONS[1].id: 4, BEACONS[2].id: 1}
    resolver = taken_up(path, now, lines, newest=newest)
    plain = Resolver([])
    plain.watch(now, lines, newest=newest)
    for number, one in enumerate(BEACONS):
        for event in range(1, 9):
            for t_ms in (T0, T0 + 1, T0 + HOUR_MS):
                frame = heard(one.alert(event, 0), t_ms + number)
                ours, theirs = resolver.take(frame), plain.take(frame)
                assert ours == theirs, (number, event)
    assert resolver.counts[FRESH] > 10
    assert resolver.counts[DUPLICATE] > 1


def test_an_enrolment_that_does_not_lead_on_is_made_anew(path: Path) -> None:
    assert why(path, anchors()[:3]) == "enrolment"
    assert why(path, [*anchors(), anchors()[0]]) == "enrolment"
    other = EventKeys(BEACONS[1].id, BEACONS[1].public_key, 1, bytes(32))
    assert why(path, [anchors()[0], other, *anchors()[2:]]) == "enrolment"
    low = [one.ahead(2) for one in anchors()]
    assert why(path, [anchors()[0], EventKeys(low[1].beacon_id, bytes(32), 2, low[1].event_key),
                      *anchors()[2:]]) == "enrolment"  # fmt: skip
    other = EventKeys(BEACONS[1].id, bytes(32), 1, BEACONS[1].key(1))
    assert why(path, [anchors()[0], other, *anchors()[2:]]) == "enrolment"
    later = made()
    later.take(heard(BEACONS[0].alert(2)))
    later.save(path, STORAGE)
    assert why(path, anchors()) == "enrolment"  # yesterday's database beside today's table


def test_too_much_has_moved(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanal.saved_watch._ANYWAY", 1)
    assert why(path, anchors((2, 2, 1, 1))) == "out of date"


def test_a_disk_that_is_full_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fanal.index_file.os.fsync", full)
    with pytest.raises(OSError, match="space"):
        made().save(path, STORAGE)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_small_fleet_saves_nothing(tmp_path: Path) -> None:
    assert not Resolver(anchors()).save(tmp_path / "rids.index", STORAGE)
    assert not list(tmp_path.iterdir())


def test_two_resolvers_of_one_enrolment_go_their_own_ways(path: Path) -> None:
    one, two = taken_up(path, anchors()), taken_up(path, anchors())
    payload = BEACONS[0].alert(2)
    assert one.take(heard(payload))[0].verdict == FRESH
    assert two.take(heard(payload))[0].verdict == FRESH
    one.take(heard(BEACONS[0].alert(4), T0 + HOUR_MS))
    one.save(path, STORAGE)
    assert two.take(heard(BEACONS[0].alert(5), T0 + HOUR_MS))[0].reason == "unknown"
    assert two.take(heard(BEACONS[0].alert(4), T0 + HOUR_MS))[0].verdict == FRESH
    third = taken_up(path, anchors(), {(BEACONS[0].id, 4): [(T0 + HOUR_MS, 0, 0)]})
    assert third.take(heard(BEACONS[0].alert(6), T0 + 2 * HOUR_MS))[0].verdict == FRESH


def test_one_that_is_killed_while_it_saves_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the folder at every step is what a kill leaves: the old table, or the new one."""
    monkeypatch.setattr("fanal.index_file._CHUNK_BYTES", 65_536)
    made().save(path, STORAGE)
    before, cut, found = path.read_bytes(), set(), []

    def look() -> None:
        found.append(path.read_bytes())
        cut.update(one.read_bytes() for one in path.parent.glob(".*"))

    later = made()
    later.take(heard(BEACONS[0].alert(2)))
    with monkeypatch.context() as patched:
        for name in ("os.open", "os.fsync", "os.replace", "_nonce"):
            real = operator.attrgetter(name)(index_file)
            patched.setattr(f"fanal.index_file.{name}",
                            lambda *args, real=real: (look(), real(*args))[1])  # fmt: skip
        later.save(path, STORAGE)
    after = path.read_bytes()
    assert load(path, STORAGE).rows["newest"].tolist() == [2, 0, 0, 0]
    assert found == found.count(before) * [before] + found.count(after) * [after]
    assert min(found.count(before), found.count(after), len(cut)) >= 2
    # what was cut is never taken for a table, and the next one that saves removes it
    for number, content in enumerate(cut - {after}):
        left = path.with_name(f".{path.name}.{number:08x}")
        left.write_bytes(content)
        with pytest.raises(Unusable):
            load(left, STORAGE)
    later.save(path, STORAGE)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_who_waits_is_told_that_it_goes_on(path: Path) -> None:
    told: list[int] = []
    again = Resolver([])
    assert again.watch_saved(path, STORAGE, anchors(), alive=lambda: told.append(1)) is None
    assert len(told) > 3
    told.clear()
    fresh = Resolver([])
    fresh._watch = WideWatch(2)
    fresh.watch(anchors())
    fresh.settle(lambda: told.append(1))
    assert len(told) >= 64
    told.clear()
    fresh.save(path, STORAGE, lambda: told.append(1))
    assert told
    assert fresh.take(heard(BEACONS[0].alert(1)))[0].verdict == FRESH

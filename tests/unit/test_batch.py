"""A batch survives a cut of power at every byte, and never gives one row to two boards."""

import csv
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fanal.batch import (
    DONE,
    FAILED,
    JOURNAL,
    OPEN,
    PLAN,
    RESULTS_CSV,
    RESULTS_JSON,
    Batch,
)
from fanal.batch_list import Row, count_rows, read_list
from fanal.error import EnvironmentFault, IntegrityError, UsageError
from hypothesis import given
from hypothesis import strategies as st

A, B, C = ("52:00:00:00:00:0" + digit for digit in "abc")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "batches" / "spring"


def listed(tmp_path, text, site=None, name="list.csv", encoding="utf-8"):
    file = tmp_path / name
    file.write_bytes(text.encode(encoding))
    return read_list(file, site)


# -- lists


def test_a_list_is_read(tmp_path):
    rows = listed(tmp_path, "label,site,notes\nA-1,depot,by the door\n\n,,\nA-2,shelter-3,\n")
    assert [(r.number, r.label, r.site, r.notes) for r in rows] == [
        (1, "A-1", "depot", "by the door"), (2, "A-2", "shelter-3", "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "head", ["Label;Site;Notes", "\ufeffLABEL;SITE;NOTES", " label ; site ;notes"]
)
def test_a_list_as_spreadsheets_write_it(tmp_path, head):
    rows = listed(tmp_path, f"{head}\r\nA-1;depot;x\r\n")
    assert rows == [Row(1, "A-1", "depot", notes="x")]


def test_a_site_for_all_and_one_of_its_own(tmp_path):
    rows = listed(tmp_path, "label,place,profile\nA-1,room 12,carried\n", site="depot")
    assert rows == [Row(1, "A-1", "depot", "room 12", "carried")]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no column"), ("notes\nx\n", "no column"), ("label,sight\nA,b\n", "'sight'"),
        ("label,site\nA-1,\n", "line 2"), ("label,site\nA-1,two words\n", "line 2"),
        ("label,site\nA-1,d\nA-1,e\n", "twice"), ("label,site,profile\nA,d,fast\n", "'fast'"),
        ("label,site\n\x1b[2J,d\n", "control"), ("label,site\nA,d,by the door\n", "line 2"),
        ("label,label,site\nA,B,d\n", "twice"), ("label,site\n", "1 to 10000"),
        (f"label,site\n{'x' * 200_000},d\n", "no table"),
        ("label,site\n" + ",d\n" * 10_001, "1 to 10000"),
    ],
)  # fmt: skip
def test_a_list_that_is_wrong_says_where(tmp_path, text, word):
    with pytest.raises(UsageError) as caught:
        listed(tmp_path, text)
    assert word in caught.value.sentence


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
def test_a_list_that_never_ends():
    with pytest.raises(UsageError):
        read_list(Path("/dev/zero"))


def test_more_beacons_than_a_batch_has_are_not_even_counted():
    with pytest.raises(UsageError):
        count_rows(10**15, "depot")


def test_a_list_that_is_no_text(tmp_path):
    with pytest.raises(UsageError):
        listed(tmp_path, "label,site\nä,d\n", encoding="utf-16")
    with pytest.raises(UsageError):
        read_list(tmp_path / "none.csv")


# -- rows and boards


def test_a_board_keeps_its_row_and_no_two_share_one(folder):
    with Batch.create(folder, count_rows(2, "depot")) as batch:
        assert batch.assign(A, "esp32c3").number == 1
        assert batch.assign(B, "esp32c3").number == 2
        assert batch.assign(A, "esp32c3").number == 1
        assert batch.assign(C, "esp32c3") is None
    with Batch.open(folder) as batch:
        assert batch.assign(B, "esp32c3").number == 2
        assert batch.assign(C, "esp32c3") is None


def test_a_row_is_freed_only_if_its_board_is_not_done(folder):
    with Batch.create(folder, count_rows(2, "depot")) as batch:
        batch.assign(A, "esp32")
        batch.outcome(1, DONE, beacon_id="K7Q29XMD")
        batch.assign(B, "esp32")
        batch.outcome(2, FAILED, "its flash is worn out")
        for row in (1, 3):
            with pytest.raises(UsageError):
                batch.release(row, "x")
        batch.release(2, "broken")
        with pytest.raises(UsageError):
            batch.release(2, "x")
        assert batch.assign(C, "esp32").number == 2
        assert batch.counts() == {DONE: 1, FAILED: 0, "infra": 0, OPEN: 1}
    reopened = Batch.open(folder)
    assert (reopened.results[2].mac, reopened.results[2].reason) == (C, "")


def test_the_same_list_again_goes_on_and_another_is_refused(folder):
    with Batch.create(folder, count_rows(2, "depot")) as batch:
        batch.assign(A, "esp32")
    assert Batch.create(folder, count_rows(2, "depot")).results[1].mac == A
    with pytest.raises(UsageError) as caught:
        Batch.create(folder, count_rows(3, "depot"))
    assert caught.value.code == "batch_exists"


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_a_size(folder, count):
    with pytest.raises(UsageError):
        Batch.create(folder, count_rows(count, "depot"))
    assert not folder.exists()


def test_there_is_no_batch(folder):
    with pytest.raises(UsageError) as caught:
        Batch.open(folder)
    assert caught.value.code == "no_batch"


# -- what interrupts


def lived(folder):
    """A batch of three rows with something of everything in its journal."""
    with Batch.create(folder, count_rows(3, "depot")) as batch:
        batch.assign(A, "esp32c3")
        batch.step(1, "flashed", image_sha256="ab" * 32)
        batch.outcome(1, DONE, beacon_id="K7Q29XMD")
        batch.assign(B, "esp32")
        batch.outcome(2, FAILED, "no")
        batch.release(2, "broken")
        batch.assign(C, "esp32s3")
    return (folder / JOURNAL).read_bytes()


def test_a_cut_of_power_at_every_byte_of_the_journal(folder):
    journal = lived(folder)
    whole = journal.splitlines(keepends=True)
    for cut in range(len(journal) + 1):
        (folder / JOURNAL).write_bytes(journal[:cut])
        batch = Batch.open(folder)
        with batch:
            kept = [line for line in whole if len(b"".join(whole[: whole.index(line) + 1])) <= cut]
            macs = {r.mac for r in batch.results.values() if r.mac}
            assert (folder / JOURNAL).read_bytes() == b"".join(kept)
            # whoever comes next neither loses a board nor doubles one
            for mac in (A, B, C):
                batch.assign(mac, "esp32")
            found = [r.mac for r in batch.results.values() if r.mac]
            assert len(found) == len(set(found)) == 3
            assert macs <= set(found)


@given(st.data())
def test_a_damaged_journal_is_never_half_believed(data):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "spring"
        journal = bytearray(lived(folder))
        at = data.draw(st.integers(0, len(journal) - 1))
        journal[at] ^= data.draw(st.integers(1, 255))
        (folder / JOURNAL).write_bytes(journal)
        with suppress(IntegrityError):
            assert set(Batch.open(folder).results) == {1, 2, 3}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"fanal_batch": 2, "rows": []}',
                                  '{"fanal_batch": 1, "rows": [{"number": 1}]}'])  # fmt: skip
def test_a_damaged_plan(folder, text):
    lived(folder)
    (folder / PLAN).write_text(text)
    with pytest.raises(IntegrityError):
        Batch.open(folder)


HOLD = """
import sys
from pathlib import Path
from fanal.batch import Batch
with Batch.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_command_at_a_time(folder):
    lived(folder)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(EnvironmentFault) as caught, Batch.open(folder):
        pass
    assert caught.value.code == "busy"
    child.kill()  # a command that is killed lets go of it
    child.communicate()
    with Batch.open(folder) as batch:
        assert batch.results[1].outcome == DONE


# -- results


def test_what_another_command_wrote_before_the_lock_counts(folder):
    with Batch.create(folder, count_rows(2, "depot")):
        pass
    late = Batch.open(folder)
    with Batch.open(folder) as batch:
        batch.assign(A, "esp32")
    with late:
        assert late.assign(B, "esp32").number == 2
        assert late.assign(A, "esp32").number == 1


def test_a_list_that_another_command_was_quicker_with(folder):
    with Batch.create(folder, count_rows(2, "depot")):
        pass
    late = Batch.open(folder)
    plan = folder / PLAN
    plan.write_text(plan.read_text().replace("depot", "north"))
    with pytest.raises(UsageError), late:
        pass
    with Batch.open(folder):  # and it is nobody's
        pass


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_nobody_else_reads_a_batch(folder):
    lived(folder)
    with Batch.open(folder) as batch:
        batch.write_results()
    files = [folder / name for name in (PLAN, JOURNAL, RESULTS_CSV, RESULTS_JSON)]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_results_say_the_same_twice_and_are_no_formulas(folder, tmp_path):
    rows = listed(tmp_path, 'label,site,notes\n=cmd|x,depot,"a ""b"", c"\n@A,depot,-1\n')
    with Batch.create(folder, rows) as batch:
        batch.assign(A, "esp32c3")
        batch.outcome(1, DONE, beacon_id="K7Q29XMD", seconds=8.5)
        batch.write_results()
    with (folder / RESULTS_CSV).open(newline="") as file:
        table = list(csv.DictReader(file))
    objects = json.loads((folder / RESULTS_JSON).read_text())
    assert [row["label"] for row in table] == ["'=cmd|x", "'@A"]
    assert [row["notes"] for row in table] == ['a "b", c', "'-1"]
    assert [row["label"] for row in objects] == ["=cmd|x", "@A"]
    for row, made in zip(table, objects, strict=True):
        assert (row["mac"] or None, row["outcome"]) == (made["mac"], made["outcome"])
    assert table[0]["beacon_id"] == "K7Q29XMD"
    assert table[1]["outcome"] == OPEN


# -- a batch without a list

LIKE = Row(0, "", "depot")


def test_a_batch_without_a_list_has_a_row_for_every_board(folder):
    with Batch.create(folder, (), LIKE) as batch:
        batch.write_results()
        assert [batch.assign(mac, "esp32").number for mac in (A, B, A)] == [1, 2, 1]
    with Batch.create(folder, (), LIKE) as again:
        assert [again.assign(mac, "esp32").number for mac in (B, C)] == [2, 3]
        assert {row.site for row in again.rows} == {"depot"}
    for rows, grows in (((), Row(0, "", "annex")), (count_rows(2, "depot"), None)):
        with pytest.raises(UsageError) as caught:
            Batch.create(folder, rows, grows)
        assert caught.value.code == "batch_exists"


def test_a_cut_of_power_while_a_batch_without_a_list_grows(folder):
    with Batch.create(folder, (), LIKE) as batch:
        for mac in (A, B):
            batch.assign(mac, "esp32")
    journal = (folder / JOURNAL).read_bytes()
    for cut in range(len(journal) + 1):
        (folder / JOURNAL).write_bytes(journal[:cut])
        with Batch.open(folder) as batch:
            numbers = [batch.assign(mac, "esp32").number for mac in (A, B)]
            assert sorted(numbers) == [1, 2]
            assert len(batch.rows) == 2


def test_nothing_of_a_batch_is_for_others_to_read(folder):
    with Batch.create(folder, count_rows(1, "depot")) as batch:
        batch.assign(A, "esp32")
        batch.write_results()
    for place in (folder, folder.parent):
        assert place.stat().st_mode & 0o077 == 0
    for name in (PLAN, JOURNAL, RESULTS_CSV, RESULTS_JSON, "lock"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name

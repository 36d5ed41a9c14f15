"""The vault on flash that only clears bits, with the power cut before, inside, after anything."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_board import FIRST_KEY, SEED, Nor, PowerCut, event_key
from tests.unit.fake_board import vault as v

IDENTITY = v.identity(SEED, bytes(32))
PROVISIONED = v.provisioned(IDENTITY, FIRST_KEY)


def opened_after(record):
    return v.opened(record, event_key(record.n + 1), 1, False, 0)


def life_of_commits(count):
    """Return what a beacon commits: identity, E_1, then opening and closing events."""
    records = [IDENTITY, PROVISIONED]
    while len(records) < count:
        last = records[-1]
        records.append(v.closed(last) if last.open else opened_after(last))
    return records


def fresh(nor):
    opened = v.Vault(nor)
    opened.recover()
    return opened


def test_blank_flash_is_an_empty_vault():
    nor = Nor()
    assert fresh(nor).record == v.EMPTY
    assert nor.operations == 0


@pytest.mark.parametrize("record", [*life_of_commits(4), PROVISIONED._replace(drill=True)])
def test_record_round_trip(record):
    assert v.decode(v.encode(record, 7)) == (record, 7)


def test_record_refuses_every_flip_and_every_cut():
    data = v.encode(PROVISIONED, 7)
    assert len(data) == v.RECORD_BYTES
    for bit in range(len(data) * 8):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(v.VaultError):
            v.decode(bytes(bad))
    for size in range(len(data)):
        with pytest.raises(v.VaultError):
            v.decode(data[:size])


def test_one_record_in_flash_after_every_commit():
    nor = Nor()
    opened = fresh(nor)
    for record in life_of_commits(12):
        opened.commit(record)
        assert sum(sector.count(b"\xff") != len(sector) for sector in nor.data) == 1
        assert fresh(nor).record == record


def cut_points(step, operations):
    """Return every cut of a commit: operation, part of it, and where an erase begins."""
    parts = (0, 0.01, 0.25, 0.5, 0.75, 0.99, 1, 2)
    return [(step, op, part, end) for op in range(operations) for part in parts for end in (0, 1)]


@pytest.mark.parametrize("step", range(6))
def test_cut_anywhere_leaves_the_old_record_or_the_new(step):
    records = life_of_commits(step + 1)
    for _, operation, part, from_the_end in cut_points(step, 4):
        nor = Nor()
        opened = fresh(nor)
        for record in records[:-1]:
            opened.commit(record)
        before = opened.record
        nor.cut, nor.from_the_end = (nor.operations + operation, part), bool(from_the_end)
        with contextlib.suppress(PowerCut):
            opened.commit(records[-1])
        recovered = fresh(nor).record
        assert recovered in (before, records[-1])
        old_keys = [event_key(n) for n in range(1, recovered.n)]
        assert not any(key in nor.dump() for key in old_keys)
        if recovered == before:
            fresh(nor).commit(records[-1])
        assert fresh(nor).record == records[-1]


@given(
    st.integers(3, 12),
    st.lists(
        st.tuples(st.integers(0, 12), st.floats(0, 1) | st.just(2), st.booleans()), max_size=6
    ),
)
def test_cuts_of_commits_and_of_recoveries(count, cuts):
    """Cuts may hit the recovery after a cut too; n never goes back, no commit is half there."""
    nor, pending, last_n = Nor(), life_of_commits(count), 0
    done = []
    while pending:
        if cuts:
            operation, part, nor.from_the_end = cuts.pop()
            nor.cut = (nor.operations + operation, part)
        try:
            opened = fresh(nor)
            assert opened.record in (*done[-1:], pending[0], v.EMPTY)
            assert opened.record.n >= last_n
            last_n = opened.record.n
            assert not any(event_key(n) in nor.dump() for n in range(1, opened.record.n))
            if opened.record == pending[0]:
                done.append(pending.pop(0))
                continue
            opened.commit(pending[0])
            done.append(pending.pop(0))
        except PowerCut:
            continue
        finally:
            nor.cut = None
    assert fresh(nor).record == done[-1]


@pytest.mark.parametrize("byte", range(0, 132, 7))
def test_a_spoiled_record_is_reported_and_nothing_is_erased(byte):
    nor = Nor()
    fresh(nor).commit(PROVISIONED)
    sector = next(s for s in nor.data if s.count(b"\xff") != len(s))
    sector[byte] ^= 0x10
    before = nor.dump()
    with pytest.raises(v.VaultError) as caught:
        v.Vault(nor).recover()
    assert caught.value.code == "corrupt"
    assert nor.dump() == before
    spoiled = v.Vault(nor)
    with pytest.raises(v.VaultError):
        spoiled.commit(IDENTITY)
    spoiled.wipe()
    assert fresh(nor).record == v.EMPTY
    assert SEED not in nor.dump()
    assert FIRST_KEY not in nor.dump()


@pytest.mark.parametrize("operation", range(3))
@pytest.mark.parametrize("part", [0, 0.3, 1, 2])
def test_wipe_is_whole_or_not_at_all(operation, part):
    nor = Nor()
    opened = fresh(nor)
    opened.commit(PROVISIONED)
    nor.cut = (nor.operations + operation, part)
    with contextlib.suppress(PowerCut):
        opened.wipe()
    after = fresh(nor).record
    assert after in (PROVISIONED, v.EMPTY)
    fresh(nor).wipe()
    assert fresh(nor).record == v.EMPTY
    assert SEED not in nor.dump()


@pytest.mark.parametrize(
    "step",
    [
        PROVISIONED._replace(event_key=event_key(5)),
        PROVISIONED._replace(event_key=None),
        PROVISIONED._replace(n=0),
        PROVISIONED._replace(seed=bytes(32)),
    ],
    ids=["another_key", "no_key", "back_in_n", "another_identity"],
)
def test_steps_that_are_refused(step):
    nor = Nor()
    opened = fresh(nor)
    opened.commit(PROVISIONED)
    with pytest.raises(v.VaultError) as caught:
        opened.commit(step)
    assert caught.value.code == "misuse"
    assert fresh(nor).record == PROVISIONED


class Worn(Nor):
    """Flash of which one sector neither erases nor programs as it should."""

    def __init__(self, bad, program):
        super().__init__()
        self.bad, self.program = bad, program

    def erase(self, sector):
        if sector != self.bad:
            super().erase(sector)

    def write(self, sector, offset, data):
        if sector != self.bad or self.program:
            super().write(sector, offset, data)


@pytest.mark.parametrize("bad", range(4))
def test_a_sector_that_will_not_erase_loses_its_keys_all_the_same(bad):
    nor = Worn(bad, program=True)
    opened = fresh(nor)
    for record in life_of_commits(16):
        opened.commit(record)
        assert not any(event_key(n) in nor.dump() for n in range(1, record.n))
    assert opened.faults == ["vault_erase"]


@pytest.mark.parametrize("bad", range(4))
def test_a_sector_that_will_not_program_is_passed_over(bad):
    nor = Worn(bad, program=False)
    opened = fresh(nor)
    for record in life_of_commits(16):
        opened.commit(record)
    assert fresh(nor).record == record


def test_too_few_sectors():
    with pytest.raises(v.VaultError) as caught:
        v.Vault(Nor(count=1))
    assert caught.value.code == "misuse"

"""The rules of time (SPEC 3.2) against a second reading of them and what must always hold."""

import random
from fractions import Fraction

import pytest
from fanal_protocol import line as line_module
from fanal_protocol.error import Misuse
from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY, Entry, Line
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.linear_line import LinearLine

DAY_MS = 86_400_000
PROMPT_MS = 27_000  # with 2.125 s of one slow unit this stays within the tolerance of 30 s

slots = st.integers(0, 95)
seqs = st.integers(0, 449)
entries = st.builds(Entry, st.integers(-DAY_MS, 2 * DAY_MS), slots, seqs)
# few units and times near them: entries that agree, nearly agree and clash
near = st.builds(
    lambda unit, offset_ms: Entry(2000 * unit + offset_ms, unit // 450, unit % 450),
    st.integers(430, 470),
    st.one_of(st.integers(-40_000, 40_000), st.sampled_from([-30_000, 0, 30_000, 30_125])),
)
histories = st.lists(st.one_of(near, entries), max_size=20)


def age_s(entry):
    return 900 * entry.slot + 2 * entry.seq


def late_by_s(entry, known):
    """d of SPEC 3.2, in exact seconds."""
    return Fraction(entry.t_ms - known.t_ms, 1000) - (age_s(entry) - age_s(known))


def tolerance_s(entry, known):
    return 30 + Fraction(abs(age_s(entry) - age_s(known)), 16)


def rules_as_written(line, entry, later_began_ms):
    """Return (kind, left, new line) by the words of SPEC 3.2, with fractions of seconds."""
    too_late = [i for i in line if late_by_s(entry, i) > tolerance_s(entry, i)]
    superseded = later_began_ms is not None and Fraction(entry.t_ms - later_began_ms, 1000) > 30
    if too_late or superseded:
        return REPLAY, [], line
    left = [i for i in line if late_by_s(entry, i) < -tolerance_s(entry, i)]
    line = [i for i in line if i not in left]
    if any((i.slot, i.seq) == (entry.slot, entry.seq) for i in line):
        return DUPLICATE, left, line
    kind = FRESH if all(age_s(i) < age_s(entry) for i in line) else LATE
    return kind, left, [*line, entry]


@given(histories, st.lists(st.none() | st.integers(-DAY_MS, DAY_MS), min_size=20, max_size=20))
def test_line_gives_the_verdicts_of_the_rules_as_written(history, later):
    line, expected_line = Line(), []
    for entry, began_ms in zip(history, later, strict=False):
        kind, left, expected_line = rules_as_written(expected_line, entry, began_ms)
        assert line.judge(entry, began_ms) == (kind, tuple(left))
        assert list(line.entries()) == expected_line


def rough_history(chosen):
    """Return entries of one event as a bad day brings them: about the edges of the rules."""
    span = chosen.choice([3, 30, 500, 1500, 43_200])  # within a slot, about one, over all
    first = chosen.choice([0, chosen.randrange(43_201 - span)])
    unit_ms = chosen.choice([1875, 2000, 2125, 2300])
    off_ms = chosen.choice([100, 20_000, 33_000, 60_000, 5_000_000])
    for _ in range(chosen.choice([5, 20, 60])):
        unit = first + chosen.randrange(span)
        late_ms = chosen.choice([0, -30_000, 30_000, 30_125, chosen.randint(-off_ms, off_ms)])
        yield Entry(unit_ms * unit + late_ms, unit // 450, unit % 450)


def test_line_gives_the_verdicts_of_a_look_at_every_entry():
    chosen, seen = random.Random(4), set()
    for _ in range(6_000):
        line, linear = Line(), LinearLine()
        for entry in rough_history(chosen):
            began_ms = chosen.choice([None, None, None, chosen.randrange(86_400_000)])
            verdict = line.judge(entry, began_ms)
            assert verdict == linear.judge(entry, began_ms)
            assert line.began_ms() == linear.began_ms()
            seen.add((verdict.kind, bool(verdict.left)))
        assert line.entries() == tuple(linear.held)
        again = Line(line.entries())
        assert (again.entries(), again.began_ms()) == (line.entries(), line.began_ms())
    assert len(seen) == 7  # a replay makes nothing leave; each other kind comes with and without


@given(histories, st.lists(st.none() | st.integers(-DAY_MS, DAY_MS), min_size=20, max_size=20))
def test_line_agrees_with_a_look_at_every_entry_whatever_is_heard(history, later):
    line, linear = Line(), LinearLine()
    for entry, began_ms in zip(history, later, strict=False):
        assert line.judge(entry, began_ms) == linear.judge(entry, began_ms)
        assert line.began_ms() == linear.began_ms()
    assert line.entries() == tuple(linear.held)


def test_a_day_of_alerts_is_not_looked_at_for_every_alert(monkeypatch):
    """A count, not a time: at most the entries of one slot are compared one by one."""
    compared = []
    excess_ms = line_module._excess_ms
    monkeypatch.setattr(
        line_module, "_excess_ms", lambda *two: compared.append(1) or excess_ms(*two)
    )
    line = Line(Entry(2000 * unit, unit // 450, unit % 450) for unit in range(43_000))
    for unit in (43_000, 42_999, 21_000, 0):
        compared.clear()
        line.judge(Entry(2000 * unit, unit // 450, unit % 450))
        assert len(compared) <= 450


def test_of_two_entries_for_one_unit_the_one_heard_first_is_taken():
    line = Line([(5000, 0, 1), (2000, 0, 1), (9000, 0, 1), (4000, 0, 2)])
    assert line.entries() == ((2000, 0, 1), (4000, 0, 2))
    assert line.began_ms() == 0


@given(histories)
def test_line_agrees_with_itself_whatever_is_heard(history):
    line = Line()
    for entry in history:
        line.judge(entry)
    held = line.entries()
    assert len({(i.slot, i.seq) for i in held}) == len(held)
    assert all(abs(late_by_s(i, k)) <= tolerance_s(i, k) for i in held for k in held)


@given(histories)
def test_began_is_the_least_and_never_grows(history):
    line, before_ms = Line(), None
    for entry in history:
        line.judge(entry)
        began_ms = line.began_ms()
        assert began_ms == min(i.t_ms - 1000 * age_s(i) for i in line.entries())
        assert before_ms is None or began_ms <= before_ms
        before_ms = began_ms


@given(histories, near)
def test_nothing_is_both_too_late_and_too_early(history, entry):
    line = Line()
    for heard in history:
        line.judge(heard)
    lateness = [(late_by_s(entry, i), tolerance_s(entry, i)) for i in line.entries()]
    assert not (any(d > tol for d, tol in lateness) and any(d < -tol for d, tol in lateness))


@given(histories, near, st.none() | st.integers(-DAY_MS, DAY_MS))
def test_replay_moves_nothing(history, entry, later_began_ms):
    line = Line()
    for heard in history:
        line.judge(heard)
    before = line.entries()
    verdict = line.judge(entry, later_began_ms)
    if verdict.kind == REPLAY:
        assert verdict.left == ()
        assert line.entries() == before


@given(histories, entries, st.integers(-DAY_MS, DAY_MS))
def test_nothing_is_genuine_once_a_later_event_has_begun(history, entry, later_began_ms):
    line = Line()
    for heard in history:
        line.judge(heard)
    verdict = line.judge(entry, later_began_ms)
    assert (verdict.kind == REPLAY) or entry.t_ms <= later_began_ms + 30_000


@given(histories, near, st.integers(-(10**15), 10**15))
def test_verdicts_do_not_hang_on_the_origin_of_time(history, entry, shift_ms):
    here, there = Line(), Line()
    for heard in [*history, entry]:
        moved = there.judge(heard._replace(t_ms=heard.t_ms + shift_ms))
        verdict = here.judge(heard)
        assert moved.kind == verdict.kind
        assert [i._replace(t_ms=i.t_ms - shift_ms) for i in moved.left] == list(verdict.left)


@given(histories, histories)
def test_line_made_from_entries_goes_on_where_the_other_stood(before, after):
    line = Line()
    for heard in before:
        line.judge(heard)
    copy = Line([tuple(i) for i in line.entries()])
    for heard in after:
        assert copy.judge(heard) == line.judge(heard)
    assert copy.entries() == line.entries()
    assert copy.began_ms() == line.began_ms()


@st.composite
def honest_lives(draw):
    """Return [(entry, was prompt)] as they reach a receiver from one honest beacon.

    Its second lasts 15/16 to 17/16 of a true one, a unit is sent at any moment of its 2 s, up to
    PROMPT_MS go by unnoticed, and whom the air delays it delays by anything, in any order.
    """
    edge = draw(st.sampled_from([Fraction(15, 16), Fraction(1), Fraction(17, 16)]))
    drift = draw(st.one_of(st.just(edge), st.fractions(Fraction(15, 16), Fraction(17, 16))))
    chosen = random.Random(draw(st.integers(0, 2**32)))
    span = draw(st.sampled_from([20, 2_000, 43_200]))
    heard = []
    for _ in range(draw(st.integers(1, 25))):
        unit = chosen.randrange(span)
        true_ms = int((2000 * unit + chosen.randrange(2000)) * drift)
        prompt = chosen.random() < 0.6
        delay_ms = chosen.randint(0, PROMPT_MS if prompt else chosen.choice([60_000, DAY_MS]))
        heard.append((Entry(true_ms + delay_ms, unit // 450, unit % 450), prompt))
    chosen.shuffle(heard)
    return heard


@given(honest_lives())
@settings(max_examples=200)
def test_delays_never_spoil_a_prompt_alert(life):
    line, prompt_joined = Line(), set()
    for entry, prompt in life:
        verdict = line.judge(entry)
        if prompt:
            assert verdict.kind != REPLAY
        if prompt and verdict.kind != DUPLICATE:
            prompt_joined.add(entry)
        assert prompt_joined <= set(line.entries())


@given(honest_lives(), st.randoms(use_true_random=False))
def test_prompt_alerts_give_the_same_line_in_any_order(life, chosen):
    prompt = [entry for entry, was_prompt in life if was_prompt]
    shuffled = chosen.sample(prompt, len(prompt))
    first, second = Line(), Line()
    for one, other in zip(prompt, shuffled, strict=True):
        first.judge(one)
        second.judge(other)
    assert {i[1:] for i in first.entries()} == {i[1:] for i in second.entries()}


@given(honest_lives())
def test_long_delays_end_as_replays_beside_one_prompt_alert(life):
    line = Line()
    kinds = {}
    for entry, _ in life:
        verdict = line.judge(entry)
        kinds[entry] = verdict.kind
        kinds.update(dict.fromkeys(verdict.left, REPLAY))
    prompt = [entry for entry, was_prompt in life if was_prompt]
    for entry, was_prompt in life:
        if not was_prompt and any(late_by_s(entry, p) > tolerance_s(entry, p) + 30 for p in prompt):
            assert kinds[entry] == REPLAY


@given(honest_lives(), histories)
def test_older_event_is_never_genuine_30_s_after_a_newer_one_was_heard(newer, replays):
    line_of_newer = Line()
    heard_ms = []
    for entry, _ in newer:
        if line_of_newer.judge(entry).kind in (FRESH, LATE):  # a duplicate moves nothing
            heard_ms.append(entry.t_ms)
    older = Line()
    for entry in replays:
        played = entry._replace(t_ms=min(heard_ms) + 30_001 + abs(entry.t_ms))
        assert older.judge(played, line_of_newer.began_ms()).kind == REPLAY
    assert older.entries() == ()


def test_a_clock_slower_than_the_tolerance_does_break_the_line():
    """The bound of 1/16 is real: with 1/8, an honest event of some minutes falls apart."""
    line = Line()
    kinds = [
        line.judge(Entry(2000 * unit * 9 // 8, unit // 450, unit % 450)).kind
        for unit in range(0, 900, 30)
    ]
    assert kinds[0] == FRESH
    assert REPLAY in kinds


@pytest.mark.parametrize(
    "entry",
    [(0.0, 0, 0), (0, 96, 0), (0, -1, 0), (0, 0, 450), (0, 0, -1), (0, 0, 0.0), ("0", 0, 0)],
)
def test_what_is_no_entry_is_misuse(entry):
    line = Line([(0, 0, 0)])
    with pytest.raises(Misuse):
        line.judge(Entry(*entry))
    with pytest.raises(Misuse):
        Line([entry])
    assert line.entries() == ((0, 0, 0),)


def test_an_empty_line_has_not_begun():
    assert Line().began_ms() is None


@given(histories, near, st.none() | st.integers(-DAY_MS, DAY_MS))
def test_a_glance_sees_what_a_verdict_would_be_and_moves_nothing(history, entry, began_ms):
    line = Line()
    for one in history:
        line.judge(one)
    held, before = line.entries(), line.began_ms()
    kind = line.glance(entry, began_ms)
    assert (line.entries(), line.began_ms()) == (held, before)
    judged = line.judge(entry, began_ms)
    assert kind == (REPLAY if judged.left else judged.kind)

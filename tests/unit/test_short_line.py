"""A line that is short says what a Line says, whatever comes and whenever it stops being short."""

from fanal.short_line import ShortLine
from fanal_protocol.line import Entry, Line
from hypothesis import given
from hypothesis import strategies as st

# few units, and times about the bounds of what agrees
offs_ms = st.one_of(
    st.sampled_from([-30_001, -30_000, 0, 30_000, 30_001, 30_125, 30_126, 60_001]),
    st.integers(-90_000, 90_000),
)
entries = st.builds(
    lambda unit, off_ms: Entry(2000 * unit + off_ms, unit // 450, unit % 450),
    st.sampled_from([0, 1, 449, 450, 451, 43_199]), offs_ms,
)  # fmt: skip
later = st.none() | st.sampled_from([-60_000, -30_001, -30_000, 0, 900_000])
deeds = st.lists(st.tuples(st.sampled_from(["judge", "glance"]), entries, later), max_size=12)


@given(deeds)
def test_it_is_a_line(history):
    ours, oracle = ShortLine(), Line()
    for name, entry, later_began_ms in history:
        said = getattr(ours, name)(entry, later_began_ms)
        assert said == getattr(oracle, name)(entry, later_began_ms)
        assert ours.began_ms() == oracle.began_ms()
        assert ours.entries() == oracle.entries()


@given(st.lists(entries, max_size=4), deeds)
def test_it_goes_on_where_another_stood(held, history):
    first = Line()
    for entry in held:
        first.judge(entry)
    ours, oracle = ShortLine(first.entries()), Line(first.entries())
    for name, entry, later_began_ms in history:
        said = getattr(ours, name)(entry, later_began_ms)
        assert said == getattr(oracle, name)(entry, later_began_ms)
        assert ours.entries() == oracle.entries()

"""A registry as text and back: exactly, and nothing in it that a spreadsheet would run."""

import csv
import io
import json
import re

import pytest
from fanal import registry_copy
from fanal.beacon_record import MOST_EVENT
from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.log_verify import verify
from fanal.registry import Registry
from fanal.registry_conflict import LATEST_MS
from fanal.registry_copy import CSV, JSON, export, parse, to_csv, to_json
from fanal.registry_import import import_registry
from fanal.schema import SCHEMA_VERSION, Base, BeaconRow
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import paper_log
from tests.unit.paper_log import id_of, signed

RUN = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
FORMS = {JSON: to_json, CSV: to_csv}
NASTY = ["", "'", "''", "=1+1", "+1", "-1", "@x", "\t=1", " =1", "a\r\nb", '"', ",", ";", "\x00",
         "0012", "1e5", "＝1", "\ufeff", "\r", "🙂", "None", "null", "a;=1", ";'", ";''=", "\n\n@x",
         "x\t +1", "|-", ";;'\r=", ';"=1']  # fmt: skip


@pytest.fixture
def fleet(tmp_path):
    fleet = paper_log.lived(tmp_path)
    yield fleet
    fleet.registry.close()


def values(column):
    kinds = {
        int: st.integers(-(1 << 63), (1 << 63) - 1),
        str: st.text(max_size=8) | st.sampled_from(NASTY),
        bytes: st.binary(max_size=8),
    }
    found = kinds[column.type.python_type]
    return st.none() | found if column.nullable else found


def rows(table):
    return st.lists(st.fixed_dictionaries({c.name: values(c) for c in table.columns}), max_size=3)


tables = st.fixed_dictionaries(
    {t.name: rows(t) for t in Base.metadata.sorted_tables if t.name != "log_node"}
)


@given(tables)
def test_whatever_is_in_it_comes_back(held):
    for form in FORMS.values():
        assert parse(form(held)) == held


@given(tables)
def test_a_spreadsheet_runs_nothing(held):
    text = to_csv(held).decode()
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not cell.strip().startswith(RUN)
    # as one reads it whose cells end elsewhere, and who has no quotes then
    for cell in re.split(r"[;|\t\r\n]", text):
        assert not cell.strip(' "').startswith(RUN)


@pytest.mark.parametrize("form", FORMS)
def test_an_import_is_what_was_exported(fleet, tmp_path, form):
    fleet.registry.moved(id_of(1), "=cmd()", 'the "attic", +1\r\n')
    signed(fleet, tmp_path)
    data = export(fleet.registry, form)
    done = import_registry(data, tmp_path / "new")
    assert (done.beacons, done.entries, done.unsigned) == (3, 18, 1)
    with Registry(done.path) as copy:
        assert verify(copy).findings == ()
        assert copy.beacons() == fleet.registry.beacons()
        assert copy.lines() == fleet.registry.lines()
        with copy.snapshot() as theirs, fleet.registry.snapshot() as ours:
            held = registry_copy.contents(theirs)
            assert held == registry_copy.contents(ours)
        assert FORMS[form](held) == data
        copy.revoke(id_of(1), "lost")  # it goes on
        assert verify(copy).findings == ()


def test_an_export_is_in_the_log_and_in_itself(fleet):
    before = fleet.registry.log_size()
    held = parse(export(fleet.registry))
    assert len(held["log_leaf"]) == before + 1 == fleet.registry.log_size()
    assert b'"exported"' in held["log_leaf"][-1]["content"]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_was_cut_is_refused(fleet, tmp_path, form):
    data = export(fleet.registry, form)
    step = len(data) // 40
    for length in range(0, len(data) - 2, step):
        with pytest.raises(FanalError):
            import_registry(data[:length], tmp_path / "new")
    assert not list((tmp_path / "new").glob("*")) if (tmp_path / "new").exists() else True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"site": "shelter-3"', b'"site": "shelter-4"'),
        (b'"newest_event": 3', b'"newest_event": 2'),
        (b'"reason": "stolen"', b'"reason": "mislaid"'),
        (b'"state": "retired"', b'"state": "verified"'),
        (b'"epoch": 0', b'"epoch": 1'), (b'"number": 5', b'"number": 50'),
        (b'"settings": "{', b'"settings": "{{'),
    ],
)  # fmt: skip
def test_a_file_that_was_altered_is_refused(fleet, tmp_path, old, new):
    data = export(fleet.registry)
    assert old in data
    with pytest.raises(FanalError):
        import_registry(data.replace(old, new, 1), tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"state": "retired"', b'"state": "asleep"'), (b'"beacon": "', b'"beacon": "x')],
)
def test_rows_that_contradict_each_other_are_no_export(fleet, tmp_path, old, new):
    """And not another command that was quicker, for which one would try again."""
    data = export(fleet.registry)
    with pytest.raises(IntegrityError) as caught:
        import_registry(data.replace(old, new, 1), tmp_path / "new")
    assert caught.value.code == "no_export"
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("now_ms", [LATEST_MS + 1, (1 << 63) - 1, -1, -(1 << 63)])
def test_a_time_that_no_calendar_has_is_not_taken_in(fleet, tmp_path, now_ms):
    """Its log agrees with it: whoever made the file has a program like this one."""
    fleet.registry._now_ms = lambda: now_ms
    fleet.registry.moved(id_of(1), "elsewhere", "")
    for form in FORMS:
        with pytest.raises(IntegrityError) as caught:
            import_registry(export(fleet.registry, form), tmp_path / "new")
        assert caught.value.code == "nonsense"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("event", [MOST_EVENT + 1, -1])
def test_more_events_than_a_life_has_are_not_taken_in(fleet, tmp_path, event):
    with fleet.registry.change() as session:
        row = session.get_one(BeaconRow, id_of(1))
        row.newest_event = event
        fleet.registry.enter(session, "moved", 1, of=row)
    with pytest.raises(IntegrityError) as caught:
        import_registry(export(fleet.registry), tmp_path / "new")
    assert caught.value.code == "nonsense"


def changed(**more):
    return lambda whole: {**whole, **more}


@pytest.mark.parametrize(
    "change",
    [
        changed(fanal="else"), changed(schema=None), changed(schema=True), changed(schema=0),
        changed(tables={}), changed(tables=[]), lambda _: [], lambda _: {}, lambda _: None,
        lambda whole: {**whole, "tables": {**whole["tables"], "more": []}},
        lambda whole: {**whole, "tables": {**whole["tables"], "fleet": [{}]}},
        lambda whole: {**whole, "tables": {**whole["tables"], "fleet": [1]}},
        lambda whole: replaced(whole, "epoch", "0"), lambda whole: replaced(whole, "epoch", True),
        lambda whole: replaced(whole, "epoch", 1 << 63),
        lambda whole: replaced(whole, "epoch", None),
        lambda whole: replaced(whole, "certificate", "AA"),
        lambda whole: replaced(whole, "certificate", "a"),
        lambda whole: replaced(whole, "id", 1.0), lambda whole: replaced(whole, "id", float("nan")),
        lambda whole: site(whole, "\ud800"),
    ],
)  # fmt: skip
def test_what_is_no_export(fleet, change):
    whole = json.loads(export(fleet.registry))
    with pytest.raises(IntegrityError):
        parse(json.dumps(change(whole)).encode())


def site(whole, value):
    whole["tables"]["beacon"][0]["site"] = value
    return whole


def replaced(whole, name, value):
    whole["tables"]["fleet"][0][name] = value
    return whole


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: f"fanal_registry_{SCHEMA_VERSION}{text}".encode())
)
def test_any_bytes_are_no_export(data):
    with pytest.raises(FanalError):
        parse(data)


@pytest.mark.parametrize(("ahead", "code"), [(1, "newer"), (-1, "older")])
def test_an_export_of_another_version(fleet, ahead, code):
    other = b"%d" % (SCHEMA_VERSION + ahead)
    for form in FORMS:
        data = export(fleet.registry, form)
        for head in (b'"schema": ', b"fanal_registry_"):
            data = data.replace(head + b"%d" % SCHEMA_VERSION, head + other, 1)
        with pytest.raises(EnvironmentFault) as caught:
            parse(data)
        assert caught.value.code == code


def test_there_is_a_registry_already(fleet, tmp_path):
    data = export(fleet.registry)
    import_registry(data, tmp_path / "new")
    with pytest.raises(UsageError):
        import_registry(data, tmp_path / "new")


def test_what_others_read_as_csv_is_bounded_as_ever(fleet):
    usual = csv.field_size_limit()
    table = export(fleet.registry, CSV)
    assert parse(table)
    assert csv.field_size_limit() == usual
    with pytest.raises(FanalError):
        parse(table[:-3] + b'"')
    assert csv.field_size_limit() == usual

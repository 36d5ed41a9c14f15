"""Whose ears count, where they are, and whose silence is an alarm."""

import pytest
from fanal.error import FanalError, UsageError
from fanal.hub import listener_health, listeners, sites
from fanal.hub.listener_health import DEAF, HEARD_AGAIN, HEARS_AGAIN, SILENT, SILENT_AFTER_MS
from fanal.hub.store import Store
from fanal.hub.tables import ListenerRow
from fanal.hub.view import short_name
from fanal.position import Position

from tests.unit.paper_beacon import PaperBeacon
from tests.unit.paper_listener import beacon_row

T0 = 1_790_000_000_000
KEY, OTHER = "ab" * 32, "cd" * 32
AT = Position(52.5, 13.4, 20.0)


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'hub.db'}", lambda: T0) as store:
        yield store


def hear(store, key=KEY, at_ms=T0, **changed):
    """Let the hub have received something."""
    with store.writing() as session:
        row = session.get(ListenerRow, key) or ListenerRow(
            key=key, name="", first_received_ms=at_ms, radio="hearing", queued=0, dropped={},
            version="", is_lost=False,
        )  # fmt: skip
        row.last_received_ms = at_ms
        for name, value in changed.items():
            setattr(row, name, value)
        session.add(row)


def only(store):
    (one,) = listeners.listed(store)
    return one


# -- enrolment


@pytest.mark.parametrize("spelling", [KEY, KEY.upper(), short_name(KEY), short_name(KEY).lower()])
def test_a_listener_is_enrolled_by_what_its_volunteer_reads_out(store, spelling):
    hear(store)
    assert not only(store).is_enrolled
    done = listeners.enrol(store, spelling, "east gate", "duty")
    assert only(store) == done
    assert (done.key, done.name, done.enrolled_by) == (KEY, "east gate", "duty")
    assert done.enrolled_ms == T0


def test_twice_is_once(store):
    hear(store)
    listeners.enrol(store, KEY, "east gate", "duty")
    before, change = only(store), store.change()
    listeners.enrol(store, KEY, " east gate ", "tomas")
    assert (only(store), store.change()) == (before, change)


def test_one_that_was_not_heard_of_is_enrolled_by_its_whole_key_only(store):
    with pytest.raises(listeners.ListenerError) as caught:
        listeners.enrol(store, short_name(KEY), "east gate", "duty")
    assert caught.value.code == "no_listener"
    assert listeners.listed(store) == []
    assert listeners.enrol(store, KEY, "east gate", "duty").last_received_ms == 0


def test_two_of_the_same_eight_letters(store, monkeypatch):
    """Somebody computed for days to be taken for another."""
    hear(store)
    hear(store, OTHER)
    monkeypatch.setattr(listeners, "short_name", lambda _: "K7Q2-9XMD")
    with pytest.raises(listeners.ListenerError) as caught:
        listeners.enrol(store, "K7Q29XMD", "east gate", "duty")
    assert caught.value.code == "several"
    assert listeners.enrol(store, OTHER, "east gate", "duty").key == OTHER


def test_a_name_is_one_listeners(store):
    hear(store)
    hear(store, OTHER)
    listeners.enrol(store, KEY, "east gate", "duty")
    with pytest.raises(listeners.ListenerError) as caught:
        listeners.enrol(store, OTHER, "east gate", "duty")
    assert caught.value.code == "name_taken"
    assert listeners.enrol(store, "east gate", "west gate", "duty").key == KEY


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J", "x" * 41])
def test_a_name_is_one_line(store, name):
    hear(store)
    with pytest.raises(UsageError):
        listeners.enrol(store, KEY, name, "duty")
    assert not only(store).is_enrolled


@pytest.mark.parametrize("text", ["", " ", "K7Q2", "x" * 64, "mqtt:", "%", "' OR 1=1 --"])
def test_who_is_nobody(store, text):
    hear(store)
    for act in (
        lambda: listeners.enrol(store, text, "east gate", "duty"),
        lambda: listeners.forget(store, text),
        lambda: listeners.place(store, text, AT),
    ):
        with pytest.raises(FanalError):
            act()
    assert only(store).name == ""


def test_a_gateway_that_seals_nothing_is_enrolled_by_its_topic(store):
    hear(store, "mqtt:home/gateway")
    assert listeners.enrol(store, "mqtt:home/gateway", "hall", "duty").is_enrolled


def test_forgotten_it_is_unconfirmed_and_nowhere(store):
    hear(store, latitude=1.0, longitude=2.0, accuracy_m=3.0, source="gps")
    listeners.enrol(store, KEY, "east gate", "duty")
    assert listeners.place(store, "east gate", AT).position == AT
    done = listeners.forget(store, "east gate")
    assert (done.is_enrolled, done.has_fixed_position) == (False, False)
    assert done.position == Position(1.0, 2.0, 3.0, "gps")


def test_only_an_enrolled_one_is_placed(store):
    hear(store)
    with pytest.raises(listeners.ListenerError) as caught:
        listeners.place(store, KEY, AT)
    assert caught.value.code == "not_enrolled"


def test_the_list_shows_enrolled_ones_first(store):
    hear(store, "01" * 32, T0 + 5)
    hear(store, "02" * 32, T0 + 9)
    hear(store, KEY)
    hear(store, OTHER)
    listeners.enrol(store, KEY, "b", "duty")
    listeners.enrol(store, OTHER, "a", "duty")
    assert [one.key for one in listeners.listed(store)] == [OTHER, KEY, "02" * 32, "01" * 32]


# -- health


@pytest.fixture
def enrolled(store):
    hear(store)
    listeners.enrol(store, KEY, "east gate", "duty")
    return store


def watch(store, now_ms, **more):
    return [change.what for change in listener_health.watch_health(store, now_ms, **more)]


def test_silence_is_told_once_and_so_is_its_end(enrolled):
    assert watch(enrolled, T0 + SILENT_AFTER_MS) == []
    late = T0 + SILENT_AFTER_MS + 1
    assert watch(enrolled, late) == [SILENT]
    assert (only(enrolled).health, only(enrolled).silent_since_ms) == ("silent", T0)
    assert watch(enrolled, late + 1) == []
    hear(enrolled, at_ms=late + 2)
    assert watch(enrolled, late + 3) == [HEARD_AGAIN]
    assert only(enrolled).health == "hearing"
    assert watch(enrolled, late + 4) == []


def test_a_last_will_is_silence_at_once(enrolled):
    hear(enrolled, is_lost=True)
    assert watch(enrolled, T0 + 1) == [SILENT]
    assert only(enrolled).health == "lost"
    hear(enrolled, is_lost=False, at_ms=T0 + 2)
    assert watch(enrolled, T0 + 3) == [HEARD_AGAIN]


def test_deafness_by_its_own_word(enrolled):
    hear(enrolled, radio="deaf")
    assert watch(enrolled, T0 + 1) == [DEAF]
    assert watch(enrolled, T0 + 2) == []
    assert only(enrolled).deaf_since_ms == T0 + 1
    # silent too: nobody knows whether it still is
    late = T0 + SILENT_AFTER_MS + 1
    assert watch(enrolled, late) == [SILENT]
    hear(enrolled, at_ms=late, radio="quiet")
    assert watch(enrolled, late) == [HEARD_AGAIN, HEARS_AGAIN]
    assert watch(enrolled, late) == []


def test_one_that_never_came_is_missed(store):
    listeners.enrol(store, KEY, "east gate", "duty")
    assert watch(store, T0 + SILENT_AFTER_MS) == []
    assert watch(store, T0 + SILENT_AFTER_MS + 1) == [SILENT]


def test_the_hubs_own_absence_is_nobodys_silence(enrolled):
    now = T0 + 10 * SILENT_AFTER_MS
    assert watch(enrolled, now, awake_since_ms=now - 1) == []
    assert watch(enrolled, now + SILENT_AFTER_MS, awake_since_ms=now - 1) == [SILENT]


def test_a_worker_that_starts_is_no_word_from_a_listener_that_is_silent(enrolled):
    now = T0 + 10 * SILENT_AFTER_MS
    assert watch(enrolled, now) == [SILENT]
    assert watch(enrolled, now + 1, awake_since_ms=now) == []
    hear(enrolled, at_ms=now + 2)
    assert watch(enrolled, now + 3, awake_since_ms=now) == [HEARD_AGAIN]


def test_strangers_alarm_nobody(store):
    for number in range(50):
        hear(store, f"{number:064x}", radio="deaf", is_lost=True)
    assert watch(store, T0 + SILENT_AFTER_MS * 9) == []


def test_a_gateway_without_heartbeat_may_be_silent(store):
    hear(store, "mqtt:home/gateway", radio="")
    listeners.enrol(store, "mqtt:home/gateway", "hall", "duty")
    assert watch(store, T0 + SILENT_AFTER_MS * 9) == []


def test_a_clock_that_was_set_back_is_no_silence(enrolled):
    assert watch(enrolled, T0 - 86_400_000) == []


def test_silence_after_a_clock_was_set_back_is_noticed_in_time(enrolled):
    back_ms = T0 - 86_400_000
    assert watch(enrolled, back_ms) == []
    assert watch(enrolled, back_ms + SILENT_AFTER_MS) == []
    assert watch(enrolled, back_ms + SILENT_AFTER_MS + 1) == [SILENT]
    hear(enrolled, at_ms=back_ms + SILENT_AFTER_MS + 2)
    assert watch(enrolled, back_ms + SILENT_AFTER_MS + 3) == [HEARD_AGAIN]


def test_who_is_silent_is_so_after_a_clock_was_set_back(enrolled):
    assert watch(enrolled, T0 + SILENT_AFTER_MS + 1) == [SILENT]
    back_ms = T0 - 86_400_000
    assert watch(enrolled, back_ms) == []
    assert watch(enrolled, back_ms + 1000) == []
    hear(enrolled, at_ms=back_ms + 2000)
    assert watch(enrolled, back_ms + 2001) == [HEARD_AGAIN]


def test_clocks_of_workers_that_differ_by_seconds_set_nothing_back(enrolled):
    assert watch(enrolled, T0 - 50_000) == []
    assert only(enrolled).last_received_ms == T0


def test_a_message_that_cannot_be_queued_takes_the_news_back(enrolled):
    def failing(*_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        listener_health.watch_health(enrolled, T0 + SILENT_AFTER_MS + 1, failing)
    told = []
    listener_health.watch_health(
        enrolled, T0 + SILENT_AFTER_MS + 1, lambda _, row, what: told.append((row.key, what))
    )
    assert told == [(KEY, SILENT)]


def test_only_news_show(enrolled):
    change = enrolled.change()
    watch(enrolled, T0 + 1)
    assert enrolled.change() == change
    watch(enrolled, T0 + SILENT_AFTER_MS + 1)
    assert enrolled.change() == change + 1


# -- sites


def test_sites_come_with_their_beacons_and_get_a_place(store):
    with store.writing() as session:
        session.add(beacon_row(PaperBeacon(1), "fixed", "shelter-3"))
        session.add(beacon_row(PaperBeacon(2), "fixed", "shelter-3"))
    assert sites.listed(store) == [sites.Site("shelter-3", None, 2)]
    assert sites.put(store, "shelter-3", AT)
    assert not sites.put(store, "shelter-3", AT)
    assert sites.put(store, "depot", Position(1.0, 2.0, 3.0))
    found = {site.name: site.position for site in sites.listed(store)}
    assert found == {"shelter-3": Position(52.5, 13.4, 20.0, "site"),
                     "depot": Position(1.0, 2.0, 3.0, "site")}  # fmt: skip
    sites.forget(store, "depot")
    assert [site.name for site in sites.listed(store)] == ["shelter-3"]
    with pytest.raises(FanalError):
        sites.forget(store, "depot")


@pytest.mark.parametrize("name", ["", "two words", "a\nb"])
def test_a_site_is_one_word(store, name):
    with pytest.raises(UsageError):
        sites.put(store, name, AT)

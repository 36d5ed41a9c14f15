"""What a responder reads on the pages, what the forms do, and how many queries a page takes."""

import html
import re

import pytest
from fanal.hub import hub_log
from fanal.hub.hub_log_checkpoint import checkpoint
from fanal.hub.tables import ActionRow, InboxRow, IncidentRow, ListenerRow, LogLeafRow
from fanal.hub.web import condition, shown
from sqlalchemy import event, select, update

from tests.unit.paper_hub_log import KEY, pin
from tests.unit.paper_incidents import (
    NOW_MS,
    a_situation,
    add_beacon,
    add_incident,
    add_listener,
    add_sightings,
    fail_two_listeners,
)
from tests.unit.paper_web import PaperWeb, text_of


@pytest.fixture
def web(tmp_path):
    return PaperWeb(tmp_path, '[hub]\narea = "Riverside <&>"\n')


@pytest.fixture
def made(web):
    return a_situation(web.store)


def title_of(page):
    return html.unescape(page.text.split("<title>", 1)[1].split("</title>", 1)[0])


async def read(web, path, name="chief"):
    async with web.visitor(name) as visitor:
        page = await visitor.get(path)
        assert page.status_code == 200, page.text
        return page


async def test_the_list_is_newest_first_with_replays_apart(web, made):
    page = await read(web, "/")
    numbers = [int(n) for n in re.findall(r'id="incident-(\d+)"', page.text)]
    assert numbers == [made[word] for word in ("alert", "revoked", "drill", "test")]
    page = await read(web, "/?show=replays")
    assert re.findall(r'id="incident-(\d+)"', page.text) == [str(made["replay"])]
    assert "REPLAY of ALERT" in text_of(page)
    page = await read(web, "/?show=closed")
    assert re.findall(r'id="incident-(\d+)"', page.text) == [str(made["closed"])]
    page = await read(web, "/?show=all&kind=DRILL")
    assert re.findall(r'id="incident-(\d+)"', page.text) == [str(made["drill"])]


async def test_the_title_says_how_many_alerts_nobody_has_taken(web, made):
    assert title_of(await read(web, "/")) == "(2 ALERT) Incidents – Fanal Riverside <&>"


@pytest.mark.parametrize("word", ["DRILL", "TEST"])
async def test_what_is_no_alert_says_so_wherever_it_is_shown(web, made, word):
    row = (await read(web, "/")).text.split(f'id="incident-{made[word.lower()]}"', 1)[1]
    row = row.split("</li>", 1)[0]
    assert f">{word}</span>" in row
    assert "ALERT" not in row
    assert "kind-alert" not in row
    page = await read(web, f"/incidents/{made[word.lower()]}")
    assert title_of(page).startswith(f"{word} ")
    assert f'<p class="banner banner-{word.lower()}"><strong>{word}.' in page.text
    assert f"Close this {word}" in page.text


async def test_a_replay_is_never_taken_for_what_it_repeats(web, made):
    page = await read(web, f"/incidents/{made['replay']}")
    assert title_of(page).startswith("REPLAY of ALERT")
    assert "banner-replay" in page.text
    assert "on air now" not in text_of(page)
    assert "(2 ALERT)" in title_of(await read(web, "/"))


async def test_an_alert_is_told_whole(web, made):
    page = await read(web, f"/incidents/{made['alert']}")
    text = text_of(page)
    for part in (
        "ALERT van-2", "on air now", "3H0V-5TZ1", "carried, event 2", "2.21 V", "low",
        "track: it transmits in bursts", "complete and valid", "48.13743 N, 11.57549 E",
        "most likely within 85 m", "It is carried: it may be elsewhere",
        "yes, an enrolled listener", "First heard", "First received", "Last heard",
        "Last received", "opened by hub", "east gate", "(unconfirmed)", "-50 dBm",
        "Sightings: 230", "after 5 min: 7 seen",
    ):  # fmt: skip
        assert part in text, part
    assert 'href="geo:48.137430,11.575490;u=85"' in page.text
    assert "on air now" not in text_of(await read(web, f"/incidents/{made['revoked']}"))


async def test_every_time_is_there_for_people_and_for_programs(web, made):
    page = (await read(web, f"/incidents/{made['alert']}")).text
    for stamp, words, exact in re.findall(
        r'<time datetime="([^"]+)" data-ago>([^<]+)</time> <span class="exact">(.*?)</span></span>',
        page,
    ):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
        assert re.fullmatch(r"now|\d+ (s|min|h|d) ago", words)
        plain = re.sub("<[^>]*>", "", exact)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d", plain)


async def test_a_revoked_beacon_and_an_unreadable_status_are_flagged(web, made):
    row = (await read(web, "/")).text.split(f'id="incident-{made["revoked"]}"', 1)[1]
    row = row.split("</li>", 1)[0]
    assert "REVOKED beacon (lost)" in row
    assert "Status unreadable" in row
    assert "unconfirmed" in row
    text = text_of(await read(web, f"/incidents/{made['revoked']}"))
    assert "REVOKED beacon (lost)" in text
    assert "at least" in text
    assert "it lost power and came back" in text


async def test_evidence_is_for_officers(web, made):
    path = f"/incidents/{made['alert']}"
    signature = bytes(range(64)).hex()
    assert signature in (await read(web, path)).text
    for name in ("duty", "guest"):
        page = (await read(web, path, name)).text
        assert signature not in page
        assert "0000000000000000" not in page


async def test_hostile_text_stays_text(web):
    evil = "<img src=x onerror=alert(1)>\"'&"
    add_beacon(web.store, "K7Q29XMD", site=evil, place=evil, revoked_ms=1, revoked_reason=evil)
    number = add_incident(web.store, "K7Q29XMD", assigned_to=evil)
    add_listener(web.store, "aa" * 32, name=evil, version=evil, dropped={evil: 3}, is_lost=True)
    add_listener(web.store, f"mqtt:{evil}", last_advert_ms=None)
    add_sightings(web.store, number, ["aa" * 32, f"mqtt:{evil}"], 3)
    with web.store.writing() as session:
        session.add(ActionRow(incident=number, at_ms=NOW_MS, who=evil, what="noted", detail=evil))
    for path in ("/", f"/incidents/{number}", "/listeners"):
        page = await read(web, path)
        assert "<img" not in page.text
        assert evil in html.unescape(page.text)
        for value in re.findall(r'="([^"]*)"', page.text):
            assert "<" not in value


async def test_ears_that_fail_are_an_alarm_on_every_page(web, made):
    fail_two_listeners(web.store)
    for path in ("/", f"/incidents/{made['drill']}", "/listeners"):
        page = await read(web, path)
        text = text_of(page)
        assert "2 of 3 listeners hear nothing for you" in text
        assert "east gate is silent , since 6 min ago" in text
        assert "kitchen is deaf , since 1 min ago" in text
    assert title_of(page).startswith("(2 failing)")
    with web.store.writing() as session:
        session.get_one(ListenerRow, "03" * 32).is_lost = True
    assert "bus station is lost" in text_of(await read(web, "/"))


async def test_what_nobody_resolves_is_an_alarm_on_every_page(web, made):
    with web.store.writing() as session:
        session.add(InboxRow(listener="01" * 32, received_ms=NOW_MS - 29_000, frames=[]))
    assert "does not look into" not in text_of(await read(web, "/"))
    web.store.clock[0] += 31_000
    for path in ("/", f"/incidents/{made['drill']}", "/listeners"):
        text = text_of(await read(web, path))
        assert "The hub does not look into what comes in." in text, path
        assert "1 group of what was heard waits since 1 min ago" in text
    async with web.visitor() as stranger:
        answer = await stranger.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"error": "unresolved"})


async def test_a_log_that_nobody_signs_is_told_to_officers(web, made, tmp_path):
    path, words = f"/incidents/{made['drill']}", "The hub’s log is not signed:"
    web.store.clock[0] += 2 * condition.UNSIGNED_MS
    assert words not in text_of(await read(web, path))  # there is no fleet that could
    pin(web.store)
    size = len(hub_log.leaves(web.store))
    with web.store.writing() as session:
        hub_log.enter(session, "exported", web.store.now_ms())
    for place in ("/", path, "/listeners"):
        text = text_of(await read(web, place))
        assert f"{words} {size + 1} entries, the first of 20 min ago" in text
        assert words not in text_of(await read(web, place, "duty"))
    checkpoint(web.store, KEY, [tmp_path / "kept"])
    assert words not in text_of(await read(web, path))
    with web.store.writing() as session:
        hub_log.enter(session, "exported", web.store.now_ms())
    assert condition.unsigned(web.store) is None
    web.store.clock[0] += condition.UNSIGNED_MS
    assert condition.unsigned(web.store) == condition.Unsigned(
        1, web.store.clock[0] - condition.UNSIGNED_MS
    )
    assert f"{words} 1 entry, the first of 10 min ago" in text_of(await read(web, path))
    async with web.visitor("guest") as visitor:
        told = (await visitor.get("/api/v1/health")).json()["unsigned"]
    assert (told["entries"], told["since_ms"]) == (
        1, web.store.clock[0] - condition.UNSIGNED_MS,
    )  # fmt: skip


@pytest.mark.parametrize("at_ms", [1 << 90, -1, 0, NOW_MS + 10**12])
async def test_an_unsigned_entry_of_any_time_spoils_no_page(web, at_ms):
    pin(web.store)
    with web.store.writing() as session:
        session.execute(
            update(LogLeafRow).values(content=f'{{"at_ms":{at_ms},"what":"x"}}'.encode())
        )
    assert "is not signed: 2 entries. It may" in text_of(await read(web, "/"))


async def test_no_incident_is_not_told_as_all_quiet(web):
    text = text_of(await read(web, "/"))
    assert "No listener is enrolled. Silence here means nothing." in text
    assert "not “all quiet”" in text
    add_listener(web.store, "aa" * 32, name="gate")
    assert "a listener last reported 20 s ago" in text_of(await read(web, "/"))


async def test_a_new_alert_is_pointed_at_from_wherever_one_is(web, made):
    page = await read(web, f"/incidents/{made['drill']}")
    assert f'id="newest-{made["alert"]}"' in page.text
    assert 'id="newest-' not in (await read(web, f"/incidents/{made['alert']}")).text


# acting


async def act(web, number, what, name="duty", **fields):
    async with web.visitor(name) as visitor:
        fields["csrf"] = visitor.headers["x-csrf-token"]
        return await visitor.post(f"/incidents/{number}/{what}", data=fields)


async def test_a_responder_takes_gives_notes_closes_and_opens_again(web, made):
    number, changed = made["alert"], []
    object.__setattr__(web.hub, "changed", lambda session, row, what: changed.append(what))
    for what, fields in (
        ("acknowledge", {}), ("assign", {"to": "guest"}), ("note", {"text": "On the way.\r\nTwo."}),
        ("close", {"reason": "help arrived", "text": ""}), ("reopen", {"text": "Too early."}),
    ):  # fmt: skip
        answer = await act(web, number, what, **fields)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/incidents/{number}")
    assert changed == ["acknowledged", "assigned", "noted", "closed", "reopened"]
    text = text_of(await read(web, f"/incidents/{number}"))
    for part in ("acknowledged by duty", "assigned by duty to guest", "On the way. Two.",
                 "closed by duty : help arrived", "reopened by duty : Too early."):  # fmt: skip
        assert part.replace(" :", ":") in text, part


async def test_a_viewer_changes_nothing_and_is_offered_nothing(web, made):
    page = await read(web, f"/incidents/{made['alert']}", "guest")
    assert page.text.count("<form") == 1  # logging out
    for what in ("acknowledge", "assign", "note", "close", "reopen"):
        answer = await act(web, made["alert"], what, "guest", to="x", text="x", reason="other")
        assert answer.status_code == 403
        assert "this takes a responder" in answer.text
    with web.store.reading() as session:
        assert {one.what for one in session.scalars(select(ActionRow))} == {"opened"}


@pytest.mark.parametrize(
    ("what", "fields", "status"),
    [
        ("assign", {}, 422),
        ("assign", {"to": "x" * 121}, 422),
        ("assign", {"to": "a\nb"}, 422),
        ("note", {"text": ""}, 422),
        ("note", {"text": "\x1b[31m"}, 422),
        ("note", {"text": "x" * 2001}, 422),
        ("close", {"reason": "because"}, 422),
        ("close", {"reason": "other"}, 422),
        ("close", {"reason": "drill over"}, 422),
        ("reopen", {"text": "x"}, 409),
    ],
)
async def test_what_cannot_be_done_is_said_and_not_done(web, made, what, fields, status):
    answer = await act(web, made["alert"], what, **fields)
    assert answer.status_code == status
    assert answer.text.count("<h1>") == 1
    with web.store.reading() as session:
        assert session.get_one(IncidentRow, made["alert"]).state == "open"


@pytest.mark.parametrize("number", ["999", "0", "-1", "9" * 30, "x"])
async def test_an_incident_that_is_none_cannot_be_acted_on(web, made, number):
    assert (await act(web, number, "acknowledge")).status_code == 404


async def test_an_officer_enrols_a_listener_and_a_responder_does_not(web, made):
    key = "04" * 32
    for name, status in (("duty", 403), ("chief", 303)):
        async with web.visitor(name) as visitor:
            page = await visitor.get("/listeners")
            assert ('action="/listeners/enrol"' in page.text) == (name == "chief")
            answer = await visitor.post("/listeners/enrol", data={
                "csrf": visitor.headers["x-csrf-token"], "listener": key, "name": "roof",
            })  # fmt: skip
            assert answer.status_code == status
            taken = await visitor.post("/listeners/enrol", data={
                "csrf": visitor.headers["x-csrf-token"], "listener": "mqtt:home/OMG_ESP32/BTtoMQTT",
                "name": "kitchen",
            })  # fmt: skip
            assert taken.status_code == (403 if name == "duty" else 409)
    with web.store.reading() as session:
        row = session.get_one(ListenerRow, key)
        assert (row.name, row.enrolled_by) == ("roof", "chief")


async def test_the_last_word_of_a_listener_is_not_taken_for_its_health_now(web):
    for number, age_ms in ((1, 301_000), (2, 299_000)):
        add_listener(web.store, f"{number:02x}" * 32,
                     last_received_ms=NOW_MS - age_ms)  # fmt: skip
    # enrolled, and the hub itself was away
    add_listener(web.store, "03" * 32, name="gate", last_received_ms=NOW_MS - 301_000)
    text = text_of(await read(web, "/listeners"))
    assert text.count("that was its last word") == 2
    assert text.count("nobody watches for its silence") == 1


# long lists


async def test_lists_are_told_in_parts(web):
    add_beacon(web.store, "K7Q29XMD")
    numbers = [
        add_incident(web.store, "K7Q29XMD", n, first_received_ms=NOW_MS - 1000 * (n // 2))
        for n in range(1, 121)
    ]
    seen, path = [], "/"
    while path:
        page = await read(web, path)
        found = [int(n) for n in re.findall(r'id="incident-(\d+)"', page.text)]
        assert len(found) <= 50
        seen += found
        older = re.search(r'href="([^"]*)" rel="next"', page.text)
        path = html.unescape(older[1]) if older else None
    assert sorted(seen) == numbers
    assert len(set(seen)) == 120
    add_sightings(web.store, numbers[0], ["aa" * 32], 250)
    seen, path = [], f"/incidents/{numbers[0]}"
    while path:
        page = await read(web, path)
        seen += re.findall(r'id="sighting-(\d+)"', page.text)
        older = re.search(r'href="([^"]*)#sightings" rel="next"', page.text)
        path = html.unescape(older[1]) if older else None
    assert len(seen) == len(set(seen)) == 250


async def test_the_number_of_queries_does_not_grow_with_what_is_there(web):
    async def queries(path):
        counted = []

        def count(connection, cursor, statement, *_):
            if statement.lstrip().upper().startswith("SELECT"):
                counted.append(statement)

        event.listen(web.store.engine, "before_cursor_execute", count)
        await read(web, path)
        event.remove(web.store.engine, "before_cursor_execute", count)
        return len(counted)

    ears = [f"{n:064x}" for n in range(40)]
    add_beacon(web.store, "K7Q29XMD")
    first = add_incident(web.store, "K7Q29XMD", 1)
    add_listener(web.store, ears[0], name="ear")
    add_sightings(web.store, first, ears[:1], 1)
    paths = ("/", f"/incidents/{first}", "/listeners")
    few = [await queries(path) for path in paths]
    for n, key in enumerate(ears[1:]):
        add_listener(web.store, key, name=f"ear {n}")
    for n in range(2, 60):
        add_incident(web.store, "K7Q29XMD", n)
    add_sightings(web.store, first, ears, 3000)
    many = [await queries(path) for path in paths]
    assert many == few
    assert max(many) <= 21


async def test_a_flood_of_strangers_leaves_the_listeners_readable(web):
    add_listener(web.store, "aa" * 32, name="gate", last_received_ms=1)
    for n in range(130):
        add_listener(web.store, f"{n:064x}", last_received_ms=NOW_MS - n)
    page = await read(web, "/listeners")
    assert page.text.count('<li id="listener-') == 51
    assert "80 more are not shown" in text_of(page)


# words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7200, "2 h"),
     (86_400 * 3 + 4 * 3600 + 59, "3 d 4 h"), (86_399, "23 h 59 min")],
)  # fmt: skip
def test_how_long(seconds, words):
    assert shown.lasting(seconds) == words


@pytest.mark.parametrize(
    ("ago_ms", "words"),
    [(-10_000, "now"), (0, "now"), (999, "now"), (1000, "1 s ago"), (59_999, "59 s ago"),
     (60_000, "1 min ago"), (3_600_000, "1 h ago"), (86_400_000 * 400, "400 d ago")],
)  # fmt: skip
def test_how_long_ago(ago_ms, words):
    assert shown.ago(NOW_MS - ago_ms, NOW_MS) == words


@pytest.mark.parametrize("at_ms", [-(1 << 62), -1, 0, NOW_MS, 1 << 53, 1 << 62])
def test_no_time_is_too_far_to_be_shown(at_ms):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d", shown.exact(at_ms))
    assert shown.machine(at_ms).endswith("Z")
    assert isinstance(shown.offset_min(at_ms), int)


def test_places_and_volts():
    assert shown.coordinates(-33.85678, -151.21530) == "33.85678 S, 151.21530 W"
    assert shown.metres(999) == "999 m"
    assert shown.metres(2400) == "2.4 km"
    assert shown.volts(2980) == "2.98 V"
    assert shown.volts(5100) == "at least 5.10 V"

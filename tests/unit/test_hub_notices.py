"""Messages that leave the hub: at least once, in order, signed, never more than is meant."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
from email import message_from_bytes
from email.policy import default as MODERN

import httpx
import pytest
from aiosmtpd.controller import Controller
from fanal.hub import actions, cap, courier, mail, message, notices, topic, webhook
from fanal.hub.channel_config import Broker as BrokerConfig
from fanal.hub.channel_config import Channel
from fanal.hub.courier import Courier
from fanal.hub.notices import Notices
from fanal.hub.parcel import ChannelDown, ChannelGone, Parcel
from fanal.hub.tables import IncidentRow, ListenerRow, NoticeRow
from fanal.mqtt import Mqtt
from sqlalchemy import select

from tests.unit.incident_rows import (
    LISTENER,
    T0,
    both,
    incident,
    listener,
    paper_store,
    put,
    store,
    timeline,
)
from tests.unit.paper_server import Authority
from tests.unit.test_hub_cap import parsed, value

__all__ = ["store"]

DESK = Channel("desk", "webhook", url="https://desk.example/x")
NIGHT = Channel("night", "webhook", url="https://night.example/x", level=1)
MAIL = Channel("post", "mail", to=("a@ngo.example",), sender="hub@ngo.example",
               smtp="smtp://127.0.0.1:25", detail="minimal")  # fmt: skip
REAL = Channel("real", "webhook", kinds=("ALERT",))
DRILLS = Channel("drills", "webhook", kinds=("DRILL",))
TESTS = Channel("tests", "webhook", kinds=("TEST",))
XML = Channel("xml", "webhook", format="cap")


def queue(store, *channels):
    return Notices(channels, store.now_ms, "https://hub.example", "hub@ngo.example", "North")


def changed(store, number, why, *channels, **fields):
    """Change an incident's row and tell that it changed."""
    with store.writing() as session:
        row = session.get_one(IncidentRow, number)
        for name, one in fields.items():
            setattr(row, name, one)
        queue(store, *channels).incident_changed(session, row, why)


def outbox(store, *, waiting=False):
    """Return (channel, message, why) of what was queued."""
    with store.reading() as session:
        rows = session.query(NoticeRow).order_by(NoticeRow.id)
        return [
            (row.channel, row.message, row.body["content"]["data"].get("why"))
            for row in rows if not waiting or row.done_ms is None
        ]  # fmt: skip


class Sent:
    """A sender that keeps what it was given; `fails` are the exceptions of the next calls."""

    def __init__(self, *fails):
        self.fails, self.parcels = list(fails), []

    def __call__(self, parcel):
        self.parcels.append(parcel)
        problem = self.fails.pop(0) if self.fails else None
        if problem is not None:
            raise problem
        return ""

    @property
    def told(self):
        return [one.content["data"]["message"] for one in self.parcels]


def carrier(store, **senders):
    return Courier(store, senders, chance=lambda: 0.99)


# --- what is queued


@both
def test_alert_then_update_then_cancel(store):
    [number] = put(store, incident())
    to = Sent()
    carry = carrier(store, desk=to)
    for why, fields in (("opened", {}), ("signed", {}), ("acknowledged", {})):
        changed(store, number, why, DESK, **fields)
        carry.step()
    actions.close(store, number, "duty", "false alarm",
                  changed=queue(store, DESK).incident_changed)  # fmt: skip
    carry.step()
    assert to.told == ["Alert", "Update", "Update", "Cancel"]
    assert to.parcels[-1].content["data"]["closed_as"] == "false alarm"


def test_help_that_arrived_cancels_nothing(store):
    [number] = put(store, incident())
    to = Sent()
    changed(store, number, "opened", DESK)
    carrier(store, desk=to).step()
    actions.close(store, number, "duty", "help arrived",
                  changed=queue(store, DESK).incident_changed)  # fmt: skip
    carrier(store, desk=to).step()
    assert to.told == ["Alert", "Update"]


def test_what_waits_is_replaced_and_the_alert_stays_the_first_word(store):
    [number] = put(store, incident())
    for why in ("opened", "place", "signed"):
        changed(store, number, why, DESK)
    assert outbox(store) == [("desk", "Alert", "signed")]
    carrier(store, desk=Sent()).step()
    for why in ("place", "battery", "assigned"):
        changed(store, number, why, DESK)
    assert outbox(store) == [("desk", "Alert", "signed"), ("desk", "Update", "assigned")]


def test_what_was_tried_once_is_never_altered(store):
    [number] = put(store, incident())
    to = Sent(ChannelDown("no"))
    changed(store, number, "opened", DESK)
    carrier(store, desk=to).step()
    for why in ("place", "signed"):
        changed(store, number, why, DESK)
    store.now_ms.pass_s(60)
    carrier(store, desk=to).step()
    assert to.told == ["Alert", "Alert", "Update"]
    assert to.parcels[0] == to.parcels[1]
    assert to.parcels[2].content["data"]["why"] == "signed"


def test_a_false_alarm_that_nobody_heard_of_is_told_to_nobody(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)
    actions.close(store, number, "duty", "duplicate",
                  changed=queue(store, DESK).incident_changed)  # fmt: skip
    actions.note(store, number, "duty", "x", changed=queue(store, DESK).incident_changed)
    assert outbox(store) == []


def test_one_that_was_taken_back_and_opens_again_is_an_alert(store):
    [number] = put(store, incident())
    to, tell = Sent(), queue(store, DESK).incident_changed
    changed(store, number, "opened", DESK)
    carrier(store, desk=to).step()
    actions.close(store, number, "duty", "false alarm", changed=tell)
    carrier(store, desk=to).step()
    actions.reopen(store, number, "duty", "it was real", changed=tell)
    carrier(store, desk=to).step()
    assert to.told == ["Alert", "Cancel", "Alert"]


def test_each_channel_gets_the_kinds_that_it_names(store):
    everyone = (DESK, REAL, DRILLS, TESTS)
    for event, kind in enumerate(("ALERT", "DRILL", "TEST"), 1):
        [number] = put(store, incident(event, kind))
        changed(store, number, kind, *everyone)
    assert sorted((name, why) for name, _, why in outbox(store)) == [
        ("desk", "ALERT"), ("desk", "DRILL"), ("drills", "DRILL"), ("real", "ALERT"),
        ("tests", "TEST"),
    ]  # fmt: skip


def test_a_drill_that_turns_out_real_is_told_to_all_who_know_of_it(store):
    [number] = put(store, incident(kind="DRILL"))
    to = Sent()
    changed(store, number, "opened", DRILLS, REAL)
    carrier(store, drills=to, real=to).step()
    changed(store, number, "kind", DRILLS, REAL, kind="ALERT")
    carrier(store, drills=to, real=to).step()
    assert to.told == ["Alert", "Update", "Alert"]
    assert [one.content["data"]["kind"] for one in to.parcels] == ["DRILL", "ALERT", "ALERT"]


def test_replays_and_higher_levels_are_told_to_nobody(store):
    replay, real = put(store, incident(1, is_replay=True), incident(2))
    changed(store, replay, "opened", DESK, NIGHT)
    changed(store, real, "opened", NIGHT)
    assert outbox(store) == []
    changed(store, real, "escalated", NIGHT, escalation=1)
    assert outbox(store) == [("night", "Alert", "escalated")]


def test_one_closed_incident_is_no_news_to_a_new_channel(store):
    [number] = put(store, incident(state="closed"))
    actions.note(store, number, "duty", "x", changed=queue(store, DESK).incident_changed)
    assert outbox(store) == []


def test_minimal_says_where_to_look_and_no_more(store):
    [number] = put(store, incident())
    changed(store, number, "opened", MAIL)
    with store.reading() as session:
        [row] = session.query(NoticeRow)
        text = json.dumps(row.body)
    assert "https://hub.example/incidents/1" in text
    for secret in ("K7Q29XMD", "K7Q2-9XMD", "shelter", "room 12", "52.5", "13.4"):
        assert secret not in text


def test_cap_refers_to_what_the_channel_was_told_before(store):
    [number] = put(store, incident(kind="DRILL"))
    to, tell = Sent(), queue(store, XML).incident_changed
    changed(store, number, "opened", XML)
    carrier(store, xml=to).step()
    actions.acknowledge(store, number, "duty", changed=tell)
    carrier(store, xml=to).step()
    actions.close(store, number, "duty", "false alarm", changed=tell)
    carrier(store, xml=to).step()
    roots = [parsed(one.cap) for one in to.parcels]
    assert [value(root, "msgType") for root in roots] == ["Alert", "Update", "Cancel"]
    assert {value(root, "status") for root in roots} == {"Exercise"}
    names = [",".join(value(root, name) for name in ("sender", "identifier", "sent"))
             for root in roots]  # fmt: skip
    assert [value(root, "references") for root in roots] == [
        None, names[0], f"{names[0]} {names[1]}",
    ]  # fmt: skip
    assert len(set(names)) == 3


def test_references_stay_few(store):
    [number] = put(store, incident())
    to = Sent()
    for n in range(30):
        changed(store, number, f"change {n}", XML)
        carrier(store, xml=to).step()
    found = value(parsed(to.parcels[-1].cap), "references").split(" ")
    assert len(found) == 20
    assert to.parcels[0].id in found[0]
    assert to.parcels[-2].id in found[-1]


@pytest.mark.parametrize("what", ["silent", "lost", "deaf", "heard again", "hears again", "x\n"])
def test_a_listener_is_told_to_who_wants_real_alerts_in_json(store, what):
    put(store, listener(name="\x1bkitchen"))
    with store.writing() as session:
        row = session.get_one(ListenerRow, LISTENER)
        queue(store, DESK, DRILLS, NIGHT, XML).listener_changed(session, row, what)
    with store.reading() as session:
        [row] = session.query(NoticeRow)
        line = message.headline(row.body["content"])
    assert row.channel == "desk"
    assert line.startswith("LISTENER: ?kitchen ")
    assert line.isprintable()
    to = Sent()
    assert carrier(store, desk=to).step() == 1


# --- how it is carried


def test_a_retry_is_the_same_message_and_waits_longer_each_time(store):
    [number] = put(store, incident())
    to = Sent(*(ChannelDown("no") for _ in range(20)))
    changed(store, number, "opened", DESK)
    carry, waits = carrier(store, desk=to), []
    for _ in range(20):
        carry.step()
        with store.reading() as session:
            [row] = session.query(NoticeRow)
        assert row.failure == "down: no"
        waits.append(row.next_ms - store.now_ms())
        store.now_ms.at_ms = row.next_ms
    assert waits == sorted(waits)
    assert waits[0] <= 5000
    assert 1_800_000 <= waits[-1] <= 3_600_000
    assert carry.step() == 1
    assert len({json.dumps(one.content) + one.id for one in to.parcels}) == 1
    assert timeline(store, number) == [("hub", "notified", "desk took the alert")]


def test_it_gives_up_after_three_days_and_says_so(store):
    [number] = put(store, incident())
    to = Sent(*(ChannelDown("the desk is gone") for _ in range(500)))
    changed(store, number, "opened", DESK)
    carry = carrier(store, desk=to)
    while outbox(store, waiting=True):
        carry.step()
        store.now_ms.pass_s(600)
    assert 3 * 86_400 <= (store.now_ms() - T0) / 1000 <= 3 * 86_400 + 7200
    assert timeline(store, number) == [
        ("hub", "notified", "FAILED: desk was not told (Alert): down: the desk is gone")
    ]
    assert len(to.parcels) > 70


def test_a_hub_that_was_away_for_days_still_tries(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)
    store.now_ms.pass_s(10 * 86_400)
    to = Sent(ChannelDown("no"))
    carrier(store, desk=to).step()
    store.now_ms.pass_s(10)
    assert carrier(store, desk=to).step() == 1


@pytest.mark.parametrize("back_s", [600, 3600, 7200, 2 * 365 * 86400])
@pytest.mark.parametrize("was_tried", [False, True])
def test_a_clock_that_was_set_back_keeps_no_alert(store, back_s, was_tried):
    [number] = put(store, incident())
    to = Sent(*[ChannelDown("busy")] * was_tried)
    carry = carrier(store, desk=to)
    changed(store, number, "opened", DESK)
    if was_tried:
        carry.step()
    store.now_ms.pass_s(-back_s)
    for _ in range(70):
        carry.step()
        store.now_ms.pass_s(60)
    assert to.told == ["Alert"] * (1 + was_tried)


def test_whoever_dies_while_sending_sends_again(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)

    class Killed(BaseException):
        pass

    to = Sent(Killed())
    with pytest.raises(Killed):
        carrier(store, desk=to).step()
    assert carrier(store, desk=to).step() == 0  # another worker may be at it
    store.now_ms.at_ms += courier.CLAIM_MS
    assert carrier(store, desk=to).step() == 1
    assert to.parcels[0] == to.parcels[1]


def test_killed_in_the_middle_it_goes_out_again_under_the_same_id(tmp_path):
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    with paper_store(url) as store:
        [number] = put(store, incident())
        changed(store, number, "opened", DESK)
        child = subprocess.Popen([sys.executable, "-c", SENDS_AND_HANGS, url],
                                 stdout=subprocess.PIPE, text=True)  # fmt: skip
        first = child.stdout.readline().strip()
        child.kill()
        child.wait()
        child.stdout.close()
        to = Sent()
        store.now_ms.at_ms += courier.CLAIM_MS
        assert carrier(store, desk=to).step() == 1
        assert [one.id for one in to.parcels] == [first]
        assert len(first) == 32


SENDS_AND_HANGS = f"""
import sys, threading
from fanal.hub.courier import Courier
from fanal.hub.store import Store

def send(parcel):
    print(parcel.id, flush=True)
    threading.Event().wait()

Courier(Store(sys.argv[1], lambda: {T0}), {{"desk": send}}).step()
"""


@both
def test_two_workers_do_not_send_the_same_at_once(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)
    second = Sent()
    first = Sent()

    def while_sending(parcel):
        carrier(store, desk=second).step()
        return first(parcel)

    assert carrier(store, desk=while_sending).step() == 1
    assert (len(first.parcels), len(second.parcels)) == (1, 0)


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_a_courier_waits_for_nobody_who_acts(store):
    """Each would hold what the other wants: the incident, and the message about it."""
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)
    carry = threading.Thread(target=carrier(store, desk=Sent()).step)

    def while_acting(session, row, why):
        carry.start()
        carry.join(10)
        assert not carry.is_alive()
        queue(store, DESK).incident_changed(session, row, why)

    try:
        actions.acknowledge(store, number, "duty", changed=while_acting)
    finally:
        carry.join()
    assert outbox(store, waiting=True) == [("desk", "Update", "acknowledged")]
    assert {what for _, what, _ in timeline(store, number)} == {"notified", "acknowledged"}


def test_an_incident_keeps_its_order_and_waits_for_no_other(store):
    one, two = put(store, incident(1), incident(2))
    to = Sent(ChannelDown("bad", code="refused"))
    changed(store, one, "opened", DESK)
    carry = carrier(store, desk=to)
    carry.step()
    changed(store, one, "signed", DESK)
    changed(store, two, "opened", DESK)
    carry.step()
    numbers = [(p.content["data"]["number"], p.content["data"]["message"]) for p in to.parcels]
    assert numbers == [(1, "Alert"), (2, "Alert")]
    store.now_ms.pass_s(60)
    carry.step()
    assert [p.content["data"]["number"] for p in to.parcels[2:]] == [1, 1]


@both
def test_a_new_alert_goes_before_what_failed_and_its_success_frees_the_rest(store):
    numbers = put(store, *(incident(n) for n in range(1, 5)))
    to = Sent(*(ChannelDown("no") for _ in range(99)))
    carry = carrier(store, desk=to)
    for number in numbers[:3]:
        changed(store, number, "opened", DESK)
        carry.step()
    assert [p.content["data"]["number"] for p in to.parcels] == numbers[:3]
    to.fails.clear()
    to.parcels.clear()
    assert carry.step() == 0  # each waits for its time
    changed(store, numbers[3], "opened", DESK)
    assert carry.step() == 4
    assert [p.content["data"]["number"] for p in to.parcels] == [numbers[3], *numbers[:3]]


def test_a_sender_with_a_bug_ends_nothing_and_tells_no_secret(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)
    said = []
    to = Sent(RuntimeError("token=hunter2"))
    Courier(store, {"desk": to}, said.append).step()
    with store.reading() as session:
        [row] = session.query(NoticeRow)
    assert row.failure == "failed: RuntimeError"
    assert "hunter2" not in str(said)


def test_one_that_wants_nothing_any_more_is_left_in_peace(store):
    one, two = put(store, incident(1), incident(2))
    to = Sent(ChannelGone("It answered 410."))
    changed(store, one, "opened", DESK)
    carry = carrier(store, desk=to)
    carry.step()
    changed(store, two, "opened", DESK)
    carry.step()
    assert len(to.parcels) == 1
    assert outbox(store, waiting=True) == []
    for number in (one, two):
        assert "FAILED: desk was not told" in timeline(store, number)[0][2]


def test_a_channel_that_was_taken_out_waits_for_nothing(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK, REAL)
    carrier(store, real=Sent()).give_up_strangers()
    assert [name for name, _, _ in outbox(store, waiting=True)] == ["real"]


@both
def test_what_was_settled_long_ago_is_forgotten_unless_more_may_follow(store):
    over, open_one = put(store, incident(1), incident(2))
    put(store, listener())
    for number in (over, open_one):
        changed(store, number, "opened", DESK, REAL)
    with store.writing() as session:
        queue(store, DESK).listener_changed(session, session.scalars(select(ListenerRow)).one(),
                                            "silent")  # fmt: skip
    carry = carrier(store, desk=Sent())
    carry.step()  # "real" has no sender: that waits
    changed(store, over, "closed", state="closed")
    store.now_ms.pass_s(courier.KEPT_MS / 1000)
    carry.forget()
    assert len(outbox(store)) == 5
    store.now_ms.pass_s(0.001)
    carry.forget()
    assert [(name, why) for name, _, why in outbox(store)] == [
        ("real", "opened"), ("desk", "opened"), ("real", "opened"),
    ]  # fmt: skip
    changed(store, open_one, "place", DESK)
    assert outbox(store)[-1] == ("desk", "Update", "place")


@both
def test_a_slow_channel_delays_no_other(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK, REAL)
    stop, stuck, arrived = threading.Event(), threading.Event(), threading.Event()

    def slow(parcel):
        stuck.wait(60)
        return ""

    def quick(parcel):
        arrived.set()
        return ""

    thread = threading.Thread(target=Courier(store, {"desk": slow, "real": quick}).run,
                              args=(stop,))  # fmt: skip
    thread.start()
    assert arrived.wait(60)
    stuck.set()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


# --- webhooks


SECRET = base64.b64encode(bytes(range(32))).decode()
DATA = {"kind": "ALERT", "number": 7, "message": "Alert", "why": "opened", "state": "open",
        "closed_as": None, "url": "https://hub.example/incidents/7", "incident": None}  # fmt: skip
PARCEL = Parcel("0" * 32, T0, {"type": "incident.alert", "timestamp": "", "data": DATA})


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"whsec_{SECRET}\n")
    return path


def hook(secret_file, answer, clock=lambda: T0):
    return webhook.Webhook("https://desk.example/token123", secret_file, clock,
                           httpx.MockTransport(answer))  # fmt: skip


def test_a_webhook_is_signed_as_the_standard_says(secret_file):
    seen = []

    def answer(request):
        seen.append((dict(request.headers), request.content))
        return httpx.Response(204)

    send = hook(secret_file, answer, iter((T0, T0 + 9000)).__next__)
    assert send(PARCEL) == send(PARCEL) == ""
    for (headers, body), at_s in zip(seen, (T0 // 1000, T0 // 1000 + 9), strict=True):
        assert headers["webhook-id"] == "msg_" + "0" * 32
        assert headers["webhook-timestamp"] == str(at_s)
        text = f"{headers['webhook-id']}.{at_s}.".encode() + body
        mac = hmac.new(bytes(range(32)), text, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
        assert json.loads(body) == PARCEL.content
    assert seen[0][1] == seen[1][1]


def test_the_example_of_the_standard(tmp_path):
    # the test vector in the README of standard-webhooks' libraries
    path = tmp_path / "s"
    path.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = webhook.signed("p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}',
                             webhook.read_secret(path))  # fmt: skip
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_cap_goes_as_xml(secret_file):
    seen = []

    def answer(request):
        seen.append((request.headers["content-type"], request.content))
        return httpx.Response(200)

    hook(secret_file, answer)(Parcel("1" * 32, T0, {}, "<alert>ü</alert>"))
    assert seen == [("application/cap+xml", cap.document("<alert>ü</alert>"))]


@pytest.mark.parametrize(
    ("status", "code"),
    [(301, "down"), (302, "down"), (307, "down"), (400, "refused"), (401, "down"), (404, "down"),
     (408, "down"), (413, "refused"), (422, "refused"), (429, "down"), (500, "down"),
     (503, "down")],
)  # fmt: skip
def test_what_a_webhook_did_not_take(secret_file, status, code):
    asked = []

    def answer(request):
        asked.append(request.url)
        return httpx.Response(status, headers={"location": "https://evil.example/"})

    with pytest.raises(ChannelDown) as caught:
        hook(secret_file, answer)(PARCEL)
    assert (caught.value.code, len(asked)) == (code, 1)


def test_a_webhook_that_is_gone(secret_file):
    with pytest.raises(ChannelGone):
        hook(secret_file, lambda _: httpx.Response(410))(PARCEL)


def test_an_answer_without_end_is_not_read(secret_file):
    def endless():
        while True:
            yield b"x" * 65536

    assert hook(secret_file, lambda _: httpx.Response(200, content=endless()))(PARCEL) == ""


def test_a_failure_names_neither_url_nor_secret(secret_file):
    def answer(request):
        raise httpx.ConnectError(f"no route to {request.url}")

    with pytest.raises(ChannelDown) as caught:
        hook(secret_file, answer)(PARCEL)
    assert "token123" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "whsec_", "short", "ü" * 40, SECRET + "!", SECRET * 4])
def test_a_secret_that_is_none(tmp_path, text):
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(ChannelDown) as caught:
        webhook.read_secret(path)
    assert not text or text not in str(caught.value)
    with pytest.raises(ChannelDown):
        webhook.read_secret(tmp_path / "none")


# --- mail


class Box:
    """A mail server's handler: keeps letters, refuses the recipients in `refused`."""

    def __init__(self, *refused):
        self.letters, self.refused = [], refused

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.letters.append(envelope.content)
        return "250 OK"


@pytest.fixture
def post():
    """Return a function that starts a mail server on this computer and gives its URL."""
    started = []

    def start(box, **options):
        control = Controller(box, hostname="127.0.0.1", port=0, **options)
        control.port = free_port()
        control.start()
        started.append(control)
        return f"smtp://127.0.0.1:{control.port}"

    yield start
    for control in started:
        control.stop()


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def channel(smtp, **fields):
    given = {"to": ("a@ngo.example", "b@ngo.example"), "sender": "hub@ngo.example",
             "smtp": smtp, "detail": "minimal"}  # fmt: skip
    return Channel("post", "mail", **{**given, **fields})


def parcel_of(store, number, to):
    changed(store, number, "opened", to)
    with store.reading() as session:
        return notices.parcel(session.query(NoticeRow).order_by(NoticeRow.id.desc()).first())


@pytest.mark.parametrize("kind", ["ALERT", "DRILL", "TEST"])
def test_a_letter_says_its_kind_first_and_nothing_that_it_should_not(store, post, kind):
    [number] = put(store, incident(kind=kind))
    box = Box()
    to = channel(post(box), kinds=("ALERT", "DRILL", "TEST"))
    assert mail.Mail(to)(parcel_of(store, number, to)) == ""
    [raw] = box.letters
    letter = message_from_bytes(raw, policy=MODERN)
    assert letter["subject"] == f"{kind}: incident {number}, opened"
    assert letter["auto-submitted"] == "auto-generated"
    text = letter.get_body().get_content()
    assert f"Kind:  {kind}" in text
    assert f"https://hub.example/incidents/{number}" in text
    for secret in (b"K7Q2", b"shelter", b"room 12", b"52.5"):
        assert secret not in raw


def test_headers_cannot_be_injected(store, post):
    with store.writing() as session:
        row = session.get(IncidentRow, put(store, incident())[0])
        from fanal.hub.tables import BeaconRow

        session.get_one(BeaconRow, row.beacon).place = "x\r\nBcc: evil@example.com\r\n\r\nhello"
    box = Box()
    to = channel(post(box), detail="full", kinds=("ALERT",))
    with store.writing() as session:
        queue(store, to).incident_changed(session, session.get_one(IncidentRow, 1), "a\r\nX-Y: z")
        [row] = session.query(NoticeRow)
        one = notices.parcel(row)
    mail.Mail(to)(one)
    letter = message_from_bytes(box.letters[0], policy=MODERN)
    assert letter["bcc"] is None
    assert letter["x-y"] is None
    assert "\n" not in letter["subject"]


def test_a_full_letter_has_the_facts_and_the_json_beside(store, post):
    [number] = put(store, incident())
    box = Box()
    to = channel(post(box), detail="full")
    mail.Mail(to)(parcel_of(store, number, to))
    letter = message_from_bytes(box.letters[0], policy=MODERN)
    assert "K7Q2-9XMD" in letter.get_body().get_content()
    [part] = letter.iter_attachments()
    assert json.loads(part.get_content())["data"]["incident"]["beacon"] == "K7Q29XMD"


def test_a_letter_can_bring_cap(store, post):
    [number] = put(store, incident(kind="DRILL"))
    box = Box()
    to = channel(post(box), format="cap")
    mail.Mail(to)(parcel_of(store, number, to))
    letter = message_from_bytes(box.letters[0], policy=MODERN)
    [part] = letter.iter_attachments()
    assert part.get_content_type() == "application/cap+xml"
    root = parsed(part.get_content().decode().split("?>\n", 1)[1])
    assert value(root, "addresses") == "a@ngo.example b@ngo.example"


def test_some_refused_is_taken_and_said_and_all_refused_is_not(store, post):
    [number] = put(store, incident())
    to = channel(post(Box("b@ngo.example")))
    one = parcel_of(store, number, to)
    assert mail.Mail(to)(one) == "1 of 2 addresses refused it"
    to = channel(post(Box("a@ngo.example", "b@ngo.example")))
    with pytest.raises(ChannelDown) as caught:
        mail.Mail(to)(one)
    assert caught.value.code == "refused"


def test_a_server_elsewhere_that_offers_no_tls_gets_nothing(store, post, monkeypatch):
    [number] = put(store, incident())
    box = Box()
    to = channel(post(box))
    monkeypatch.setattr(mail, "is_loopback", lambda host: False)
    with pytest.raises(ChannelDown):
        mail.Mail(to)(parcel_of(store, number, to))
    assert box.letters == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_tls_that_somebody_else_vouches_for_gets_nothing(
    store, post, monkeypatch, tmp_path, scheme
):
    [number] = put(store, incident())
    authority = Authority(tmp_path)
    tls = authority.server_context("127.0.0.1")
    box = Box()
    options = {"tls_context": tls} if scheme == "smtp" else {"ssl_context": tls}
    to = channel(post(box, **options).replace("smtp:", f"{scheme}:"))
    monkeypatch.setattr(mail, "is_loopback", lambda host: False)
    one = parcel_of(store, number, to)
    with pytest.raises(ChannelDown):
        mail.Mail(to)(one)
    assert box.letters == []
    assert mail.Mail(to, authority.client_context())(one) == ""
    assert len(box.letters) == 1


def test_no_mail_server_is_a_sentence():
    to = channel(f"smtp://127.0.0.1:{free_port()}")
    with pytest.raises(ChannelDown):
        mail.Mail(to)(PARCEL)


# --- a topic of the broker


async def test_a_topic_gets_it_if_somebody_listens(mosquitto):
    import asyncio

    send = topic.Topic(BrokerConfig(mosquitto.url), "ngo/alerts")
    with pytest.raises(ChannelDown):  # nobody subscribed, so nobody was told
        await asyncio.to_thread(send, PARCEL)
    reader = Mqtt(mosquitto.url)
    await reader.open()
    await reader.subscribe(["ngo/alerts"])
    assert await asyncio.to_thread(send, PARCEL) == ""
    got = await reader.message()
    assert json.loads(got.payload) == PARCEL.content
    got.ack()
    await reader.close()


@pytest.mark.parametrize("named", ["ca", "password_file"])
def test_a_file_of_the_broker_that_is_missing_is_a_failure_that_names_no_path(tmp_path, named):
    files = {named: tmp_path / "nowhere", **({"user": "hub"} if named == "password_file" else {})}
    send = topic.Topic(BrokerConfig("mqtts://broker.example", **files), "ngo/alerts")
    with pytest.raises(ChannelDown) as caught:
        send(PARCEL)
    assert caught.value.code == "down"
    assert "nowhere" not in caught.value.sentence

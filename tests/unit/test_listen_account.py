"""What a person reads: every fact that matters, once, in words."""

from collections.abc import Iterable
from datetime import UTC

from fanal.beacon_name import shown
from fanal.cli.account import Account
from fanal.error import FanalError
from fanal.heard import Heard
from fanal.listen import NotRecorded
from fanal.resolver import Resolver

from tests.unit.paper_beacon import T0, PaperBeacon, heard, lossy

BEACON = PaperBeacon()
HOUR_MS = 3600_000


class Reader:
    """Reads the account of what a resolver makes of some frames."""

    def __init__(self) -> None:
        self.resolver = Resolver([BEACON.first_keys()])
        self.account = Account({BEACON.id: "shelter-3, room 12"}, UTC)

    def lines(self, frames: Iterable[Heard]) -> list[str]:
        return [
            line
            for frame in frames
            for event in self.resolver.take(frame)
            for line in self.account.tell(event)
        ]

    def line(self, payload: bytes, t_ms: int = T0, rssi_dbm: int | None = -67) -> str:
        return "\n".join(self.lines([Heard(payload, rssi_dbm, t_ms, "")]))


def test_the_opening_says_it_all() -> None:
    text = Reader().line(BEACON.alert(1, 12, battery=161), T0)
    assert text.splitlines() == [
        f"14:13:20  ALERT    {shown(BEACON.id)}  shelter-3, room 12  event 1",
        "          squeezed at 14:13:08, 12 s before this was heard; alert phase; "
        "battery 3.22 V, -67 dBm",
    ]


def test_words_for_what_it_is() -> None:
    assert "DRILL    " in Reader().line(BEACON.alert(1, drill=True))
    assert "(a rehearsal)" in Reader().line(BEACON.alert(1, drill=True))
    assert "TEST     " in Reader().line(BEACON.alert(1, activation=0))
    assert "(a self-test)" in Reader().line(BEACON.alert(1, activation=0))
    unreadable = Reader().line(BEACON.alert(1, status=0x61))
    assert "ALERT    " in unreadable
    assert "cannot be read" in unreadable
    low = Reader().line(BEACON.alert(1, status=0x28), rssi_dbm=None)
    assert "V (low), signal unknown" in low


def test_a_resumed_event_is_at_least_so_old() -> None:
    text = Reader().line(BEACON.alert(1, 3700, resumed=True))
    assert "squeezed before 13:11:40, at least 1 h 1 min before" in text
    assert "resumed" in text


def test_a_squeeze_of_yesterday_has_its_date() -> None:
    text = Reader().line(BEACON.alert(1, 15 * 3600))
    assert "squeezed at 2026-09-20 23:13:20, 15 h 0 min before" in text


def test_twenty_frames_a_second_are_a_line_a_minute() -> None:
    reader = Reader()
    lines = reader.lines(lossy(BEACON.on_air(1, T0, 300), 0.3))
    assert len(lines) == 2 + 1 + 4
    assert "signature complete and valid, 0." in lines[2]
    assert all("still on air" in line for line in lines[3:])
    assert "2 min 0 s since the squeeze" in lines[4] or "2 min 1 s" in lines[4]


def test_pages_are_counted_until_the_signature_is_there() -> None:
    reader = Reader()
    pages = BEACON.pages(1)
    reader.lines([heard(BEACON.alert(1)), heard(pages[4]), heard(pages[9])])
    assert "signature: pages 2 of 3" in reader.line(BEACON.alert(1, 60), T0 + 60_000)
    assert "complete and valid, 61.0 s after" in reader.line(pages[1], T0 + 61_000)
    assert reader.line(BEACON.pages(1)[5], T0 + 62_000) == ""


def test_changes_are_told_at_once() -> None:
    reader = Reader()
    reader.line(BEACON.alert(1, 0), T0)
    assert reader.line(BEACON.alert(1, 2), T0 + 2000) == ""
    assert "battery low" in reader.line(BEACON.alert(1, 4, status=0x28), T0 + 4000)
    assert "track phase" in reader.line(BEACON.alert(1, 6, phase=1, status=0x28), T0 + 6000)


def test_silence_is_told_once_and_ends() -> None:
    reader = Reader()
    reader.line(BEACON.alert(1, 0), T0)
    assert reader.account.tick(T0 + 59_000) == []
    (line,) = reader.account.tick(T0 + 61_000)
    assert "not heard any more since 14:13:20" in line
    assert reader.account.tick(T0 + 80_000) == []
    assert "heard again" in reader.line(BEACON.alert(1, 90), T0 + 90_000)


def test_a_replay_is_named_and_is_no_news() -> None:
    reader = Reader()
    reader.line(BEACON.alert(1, 0), T0)
    text = reader.line(BEACON.alert(1, 0), T0 + HOUR_MS)
    assert text == (
        f"15:13:20  REPLAY   {shown(BEACON.id)}  event 1: an old packet was sent again, "
        "1 h 0 min late; it changes nothing"
    )
    assert reader.line(BEACON.alert(1, 0), T0 + HOUR_MS + 30_000) == ""
    assert "REPLAY" in reader.line(BEACON.alert(1, 0), T0 + HOUR_MS + 61_000)
    assert "replays: 3" in reader.account.summary(reader.resolver.counts, {})[0]


def test_a_replay_of_an_event_never_heard_is_no_alert() -> None:
    reader = Reader()
    reader.line(BEACON.alert(2), T0)
    text = reader.line(BEACON.alert(1), T0 + HOUR_MS)
    assert "REPLAY" in text
    assert "after a newer event began" in text
    assert len([line for line in reader.account.summary({}, {}) if "event" in line]) == 1


def test_a_replay_that_is_found_out_is_told() -> None:
    reader = Reader()
    reader.line(BEACON.alert(1, 0), T0 + 600_000)
    text = reader.line(BEACON.alert(1, 610), T0 + 610_000)
    assert "1 earlier packets turn out to be replays; squeezed at 14:13:20" in text


def test_refusals_have_names_and_come_once_a_minute() -> None:
    reader = Reader()
    stranger = PaperBeacon(9)
    assert "unknown  a packet: not from any beacon" in reader.line(stranger.alert(1))
    for i in range(1, 10):
        assert reader.line(stranger.alert(1, 2 * i), T0 + 2000 * i) == ""
    assert "10 packets" in reader.line(stranger.alert(1, 60), T0 + 60_000)
    assert "tag      a packet: forged" in reader.line(BEACON.alert(1)[:-1] + b"\0")
    assert "version  a packet: not a packet of this protocol" in reader.line(bytes(23))


def test_a_page_before_its_alert_alarms_nobody() -> None:
    assert Reader().line(BEACON.pages(1)[0]) == ""


def test_the_summary_names_every_count() -> None:
    reader = Reader()
    reader.line(BEACON.alert(1), T0)
    reader.line(PaperBeacon(9).alert(1))
    counts = {**reader.resolver.counts, "alerts_crowded": 7}
    lines = reader.account.summary(counts, {"adverts": 9, "foreign": 7})
    assert lines == [
        f"ALERT    {shown(BEACON.id)}  shelter-3, room 12  event 1: squeezed at 14:13:20; "
        "signature: pages 0 of 3; alerts heard: 1, the last at 14:13:20",
        "Alerts of ours: 1 fresh; pages: 0.",
        "Not resolved when heard: 1 unknown.",
        "Lost to a flood or to time: 7 alerts crowded.",
        "Radio: 9 adverts, 7 foreign.",
    ]
    assert reader.account.summary({}, {"adverts": 1, "restarts": 1})[-1] == (
        "Radio: 1 advert, 1 restart."
    )


def test_a_sighting_that_was_not_recorded_is_told() -> None:
    reader = Reader()
    (seen,) = reader.resolver.take(heard(BEACON.alert(1)))
    reader.account.tell(seen)
    error = FanalError("The registry is in use.", "Close the other command.")
    (line,) = reader.account.tell(NotRecorded(seen, error))  # type: ignore[arg-type]
    assert "a restart will forget it: The registry is in use. Close the other command." in line


def test_colour_adds_nothing_but_colour() -> None:
    plain, coloured = Reader(), Reader()
    coloured.account.paint = lambda word, colour: f"<{colour}>{word}</>"
    payload = BEACON.alert(1)
    assert coloured.line(payload).replace("<red>", "").replace("</>", "") == plain.line(payload)


def test_what_is_only_replayed_never_looks_like_an_alert() -> None:
    reader = Reader()
    pages = [heard(page, T0 + HOUR_MS) for page in BEACON.pages(1)[:3]]
    reader.lines([heard(BEACON.alert(2), T0)])
    lines = reader.lines([heard(BEACON.alert(1), T0 + HOUR_MS), *pages])
    assert [line.split()[1] for line in lines] == ["REPLAY"]
    assert reader.resolver.counts["signatures"] == 1


def test_a_revoked_beacon_is_heard_and_marked_wherever_it_is_named() -> None:
    reader, plain = Reader(), Reader()
    reader.account.revoked = {BEACON.id: "lost"}
    frames = [
        heard(BEACON.alert(1), T0),
        *(heard(page, T0 + 100) for page in BEACON.pages(1)[:3]),
        heard(BEACON.alert(1, 2, status=0x28), T0 + 2000),
        heard(BEACON.crumb_page(1, 0), T0 + 2100),
        heard(BEACON.alert(1, 0), T0 + HOUR_MS),
    ]
    marked, unmarked = reader.lines(frames), plain.lines(frames)
    marked += reader.account.tick(T0 + 2 * HOUR_MS) + reader.account.summary({}, {})[:1]
    unmarked += plain.account.tick(T0 + 2 * HOUR_MS) + plain.account.summary({}, {})[:1]
    naming = [line for line in marked if shown(BEACON.id) in line]
    assert len(naming) == 7
    assert all(f"{shown(BEACON.id)} REVOKED  " in line for line in naming)
    assert "ALERT    " in marked[0]
    assert (
        "(revoked: lost; whoever squeezed it may need help, and it may be elsewhere)" in marked[0]
    )
    # nothing is told less, or otherwise, than of a beacon that is trusted
    assert [line.replace(" REVOKED", "").split("  (revoked")[0] for line in marked] == unmarked

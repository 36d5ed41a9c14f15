"""How often somebody may do something: by numbers, on a clock of paper."""

import pytest
from fanal.hub.web.rates import Attempts, Buckets, Crowd, Regulars, source


@pytest.fixture
def clock():
    return [1000.0]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_who_is_counted_together(address, counted):
    assert source({"client": (address, 1)}) == counted


def test_a_unix_socket_has_no_address():
    assert source({"client": None}) == source({}) == "local"


def test_a_bucket_fills_by_the_minute(clock):
    buckets = Buckets(60, lambda: clock[0])
    assert [buckets.wait_s("a") for _ in range(60)] == [0] * 60
    assert buckets.wait_s("a") == pytest.approx(1)
    clock[0] += 1
    assert buckets.wait_s("a") == 0
    assert buckets.wait_s("a") > 0
    clock[0] += 10_000
    assert [buckets.wait_s("a") > 0 for _ in range(61)] == [False] * 60 + [True]


def test_what_is_remembered_is_bounded(clock, monkeypatch):
    monkeypatch.setattr("fanal.hub.web.rates._MOST_KEYS", 10)
    buckets, attempts = Buckets(1, lambda: clock[0]), Attempts(lambda: clock[0])
    for number in range(1000):
        buckets.wait_s(str(number))
        attempts.begin(str(number))
    assert len(buckets._left) == len(attempts._tries) == 10


def test_failures_wait_longer_each_time(clock):
    attempts = Attempts(lambda: clock[0])
    waits = []
    for _ in range(11):
        attempts.begin("chief")
        waits.append(attempts.wait_s("chief"))
        clock[0] += waits[-1]
    assert waits == [0, 0, 0, 0, 60, 120, 240, 480, 900, 900, 900]
    assert attempts.wait_s("duty") == 0


def test_many_at_once_are_not_many_for_free(clock):
    attempts = Attempts(lambda: clock[0])
    allowed = 0
    for _ in range(100):
        if attempts.wait_s("chief") == 0:
            attempts.begin("chief")
            allowed += 1
    assert allowed == 5


def test_a_guesser_with_a_login_of_its_own_gains_nothing(clock):
    attempts = Attempts(lambda: clock[0])
    for _ in range(4):
        attempts.begin("address")
    attempts.begin("address")
    attempts.succeeded("address")
    assert attempts.wait_s("address") == 0
    attempts.begin("address")
    assert attempts.wait_s("address") == 60


def test_few_failures_are_forgotten_after_a_minute_and_many_later(clock):
    attempts = Attempts(lambda: clock[0])
    for _ in range(4):
        attempts.begin("chief")
    clock[0] += 60
    for _ in range(4):
        attempts.begin("chief")
        assert attempts.wait_s("chief") == 0
    attempts.begin("chief")
    clock[0] += 1799
    attempts.begin("chief")
    assert attempts.wait_s("chief") == 120
    clock[0] += 1800
    attempts.begin("chief")
    assert attempts.wait_s("chief") == 0


def test_a_crowd_has_places_and_gives_them_back():
    crowd = Crowd(3, 2)
    with crowd.place("a") as first, crowd.place("a") as second, crowd.place("a") as third:
        assert (first, second, third) == (True, True, False)
        with crowd.place("b") as fourth, crowd.place("c") as fifth:
            assert (fourth, fifth) == (True, False)
    with pytest.raises(RuntimeError), crowd.place("a"):
        raise RuntimeError
    with crowd.place("a") as again, crowd.place("a") as more:
        assert again
        assert more
    assert crowd._each == {}


def test_regulars_are_remembered_and_the_longest_unseen_is_forgotten(monkeypatch):
    monkeypatch.setattr("fanal.hub.web.rates._MOST_KEYS", 2)
    regulars = Regulars()
    for key in ("a", "b", "a", "c"):
        regulars.welcome(key)
    assert [key in regulars for key in "abc"] == [True, False, True]

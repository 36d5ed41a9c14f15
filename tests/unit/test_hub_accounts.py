"""Accounts and sessions: who gets in, for how long, and what a copy of the database is worth."""

import argon2
import pytest
from fanal.hub import accounts, sessions
from fanal.hub.accounts import AccountError
from fanal.hub.tables import SessionRow, UserRow
from sqlalchemy import func, select

from tests.unit.paper_incidents import a_store

PASSWORD = "four words in a row"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(accounts, "_HASHER", CHEAP)
    accounts._nobodys.cache_clear()
    yield
    accounts._nobodys.cache_clear()


@pytest.fixture
def store(tmp_path):
    with a_store(tmp_path) as store:
        yield store


def test_passwords_cost_what_owasp_asks_for():
    hasher = argon2.PasswordHasher()
    assert hasher.type is argon2.Type.ID
    assert hasher.memory_cost >= 19 * 1024


@pytest.mark.parametrize("typed", ["chief", "Chief", " CHIEF ", "\uff43hief"])
def test_a_name_is_one_however_it_is_typed(store, typed):
    accounts.add(store, "Chief", "officer", PASSWORD)
    assert accounts.check(store, typed, PASSWORD).name == "chief"
    with pytest.raises(AccountError) as caught:
        accounts.add(store, typed, "viewer", PASSWORD)
    assert caught.value.code == "exists"


def test_a_password_is_one_however_its_letters_are_composed(store):
    accounts.add(store, "chief", "viewer", "fünf Wörter mehr")
    assert accounts.check(store, "chief", "fu\u0308nf Wo\u0308rter mehr") is not None


@pytest.mark.parametrize(
    "name",
    ["", " ", "hub", "HUB", "a b", "a\nb", "chief\x00", "x" * 65, "<b>", "chief (command line)"],
)
def test_names_that_would_mislead_a_timeline_are_refused(store, name):
    with pytest.raises(AccountError) as caught:
        accounts.add(store, name, "viewer", PASSWORD)
    assert caught.value.code == "name"


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 257])
def test_passwords_too_short_and_too_long_are_refused(store, password):
    with pytest.raises(AccountError) as caught:
        accounts.add(store, "chief", "viewer", password)
    assert caught.value.code == "password"
    accounts.add(store, "chief", "viewer", PASSWORD)
    with pytest.raises(AccountError):
        accounts.set_password(store, "chief", password)


def test_roles_are_a_ladder(store):
    with pytest.raises(AccountError):
        accounts.add(store, "eve", "admin", PASSWORD)
    duty = accounts.add(store, "duty", "responder", PASSWORD)
    assert [duty.may(role) for role in accounts.ROLES] == [True, True, False]


def test_any_text_may_be_tried(store):
    accounts.add(store, "chief", "officer", PASSWORD)
    for password in ("", "\x00", "\ud800", "x" * 100_000):
        for name in ("chief", "", "nobody", "chief\x00", "\ud800", "a" * 100_000, "' or 1=1"):
            assert accounts.check(store, name, password) is None


def test_a_longer_password_than_there_are_is_none(store):
    accounts.add(store, "chief", "viewer", "x" * 256)
    assert accounts.check(store, "chief", "x" * 256) is not None
    assert accounts.check(store, "chief", "x" * 257) is None


@pytest.mark.parametrize("name", ["chief", "out", "nobody"])
def test_a_check_costs_one_verification_whoever_is_asked_for(store, monkeypatch, name):
    accounts.add(store, "chief", "officer", PASSWORD)
    accounts.add(store, "out", "officer", PASSWORD)
    accounts.disable(store, "out")
    verified = []

    class Counting:
        hash = staticmethod(CHEAP.hash)

        def verify(self, encoded, password):
            verified.append(encoded)
            return CHEAP.verify(encoded, password)

    monkeypatch.setattr(accounts, "_HASHER", Counting())
    assert accounts.check(store, name, "wrong wrong wrong") is None
    assert len(verified) == 1


def test_a_disabled_user_is_out_and_comes_in_again(store):
    accounts.add(store, "chief", "officer", PASSWORD)
    accounts.disable(store, "Chief")
    assert accounts.check(store, "chief", PASSWORD) is None
    assert [(user.name, user.is_disabled) for user in accounts.users(store)] == [("chief", True)]
    accounts.enable(store, "chief")
    assert accounts.check(store, "chief", PASSWORD) is not None


@pytest.mark.parametrize("change", ["set_password", "set_role", "disable", "enable"])
def test_nobody_unknown_is_changed(store, change):
    more = {"set_password": (PASSWORD,), "set_role": ("viewer",)}.get(change, ())
    with pytest.raises(AccountError) as caught:
        getattr(accounts, change)(store, "nobody", *more)
    assert caught.value.code == "no_user"


def test_a_hash_of_yesterdays_cost_is_renewed_at_a_login(store, monkeypatch):
    accounts.add(store, "chief", "viewer", PASSWORD)
    dearer = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(accounts, "_HASHER", dearer)
    assert accounts.check(store, "chief", PASSWORD) is not None
    with store.reading() as session:
        assert not dearer.check_needs_rehash(session.get_one(UserRow, "chief").password)
    assert accounts.check(store, "chief", PASSWORD) is not None


def test_renewing_a_hash_does_not_bring_an_old_password_back(store):
    accounts.add(store, "chief", "viewer", PASSWORD)
    with store.reading() as session:
        old = session.get_one(UserRow, "chief").password
    accounts.set_password(store, "chief", "another one, and long")
    accounts._rehash(store, "chief", old, PASSWORD)
    assert accounts.check(store, "chief", PASSWORD) is None


# sessions


@pytest.fixture
def chief(store):
    return accounts.add(store, "chief", "officer", PASSWORD)


def test_a_copy_of_the_database_is_no_login(store, chief, tmp_path):
    begun = sessions.begin(store, chief)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("hub.db*"))
    assert b"chief" in written
    assert begun.token.encode() not in written
    assert PASSWORD.encode() not in written
    assert begun.token not in repr(begun)
    assert begun.csrf not in repr(begun)


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "\u00e9" * 43, "\x00" * 43, "x" * 10**6])
def test_any_cookie_may_come(store, chief, token):
    sessions.begin(store, chief)
    assert sessions.find(store, token) is None


def test_a_session_ends_when_nobody_does_anything(store, chief):
    begun = sessions.begin(store, chief)
    store.clock[0] += sessions.IDLE_MS
    assert sessions.find(store, begun.token, is_used=False) is not None
    store.clock[0] += 1
    assert sessions.find(store, begun.token) is None


def test_a_page_that_asks_by_itself_keeps_nobody_logged_in(store, chief):
    begun = sessions.begin(store, chief)
    for _ in range(12):
        store.clock[0] += sessions.IDLE_MS // 12
        assert sessions.find(store, begun.token, is_used=False) is not None
    store.clock[0] += 1
    assert sessions.find(store, begun.token, is_used=False) is None


def test_a_session_that_is_used_ends_after_a_week(store, chief):
    begun = sessions.begin(store, chief)
    end_ms = store.clock[0] + sessions.LONGEST_MS
    while store.clock[0] + sessions.IDLE_MS < end_ms:
        store.clock[0] += sessions.IDLE_MS // 2
        assert sessions.find(store, begun.token) is not None
    store.clock[0] = end_ms
    assert sessions.find(store, begun.token) is not None
    store.clock[0] += 1
    assert sessions.find(store, begun.token) is None


def test_a_clock_that_was_set_back_makes_no_session_longer(store, chief):
    begun = sessions.begin(store, chief)
    store.clock[0] -= 30 * sessions.LONGEST_MS
    end_ms = store.clock[0] + sessions.LONGEST_MS
    sessions.set_back(store, store.clock[0])
    store.clock[0] += sessions.IDLE_MS
    sessions.set_back(store, store.clock[0])
    assert sessions.find(store, begun.token) is not None
    while store.clock[0] + sessions.IDLE_MS < end_ms:
        store.clock[0] += sessions.IDLE_MS // 2
        assert sessions.find(store, begun.token) is not None
    store.clock[0] = end_ms + 1
    assert sessions.find(store, begun.token) is None
    other = sessions.begin(store, chief)
    store.clock[0] -= sessions.IDLE_MS
    sessions.set_back(store, store.clock[0])
    store.clock[0] += sessions.IDLE_MS + 1
    assert sessions.find(store, other.token) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda store: accounts.disable(store, "chief"),
        lambda store: accounts.set_password(store, "Chief", "another one, and long"),
    ],
    ids=["disabled", "other password"],
)
def test_a_session_ends_with_what_it_rests_on(store, chief, change):
    here, there = sessions.begin(store, chief), sessions.begin(store, chief)
    change(store)
    assert sessions.find(store, here.token) is None
    assert sessions.find(store, there.token) is None
    accounts.enable(store, "chief")
    assert sessions.find(store, here.token) is None


def test_a_session_that_was_left_over_is_no_login_of_a_disabled_user(store, chief):
    begun = sessions.begin(store, chief)
    with store.writing() as session:
        session.get_one(UserRow, "chief").is_disabled = True
    assert sessions.find(store, begun.token) is None


def test_whoever_is_checked_while_the_password_changes_does_not_get_in(store, chief):
    """A check takes a while: what it rested on may be gone when the session begins."""
    checked = accounts.check(store, "chief", PASSWORD)
    accounts.set_password(store, "chief", "another one, and long")
    assert sessions.begin(store, checked) is None
    assert sessions.begin(store, accounts.check(store, "chief", "another one, and long"))
    accounts.disable(store, "chief")
    assert sessions.begin(store, chief) is None
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(SessionRow)) == 0


def test_a_hash_that_is_renewed_at_a_login_lets_that_login_in(store, chief, monkeypatch):
    dearer = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(accounts, "_HASHER", dearer)
    assert sessions.begin(store, accounts.check(store, "chief", PASSWORD)) is not None


def test_another_role_counts_at_once(store, chief):
    begun = sessions.begin(store, chief)
    accounts.set_role(store, "chief", "viewer")
    assert sessions.find(store, begun.token).user.role == "viewer"


def test_logging_out_ends_one_session(store, chief):
    here, there = sessions.begin(store, chief), sessions.begin(store, chief)
    sessions.end(store, here.token)
    assert sessions.find(store, here.token) is None
    assert sessions.find(store, there.token) is not None


def test_a_user_has_a_bounded_number_of_sessions(store, chief):
    begun = []
    for _ in range(25):
        store.clock[0] += 1
        begun.append(sessions.begin(store, chief))
    good = [sessions.find(store, one.token) is not None for one in begun]
    assert good == [False] * 5 + [True] * 20

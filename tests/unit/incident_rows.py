"""A hub's tables filled by hand: incidents without any radio, for what reads and acts on them."""

import pytest
from fanal.hub.store import Store
from fanal.hub.tables import (
    OPEN,
    UNSIGNED,
    ActionRow,
    BeaconRow,
    IncidentRow,
    ListenerRow,
    SightingRow,
)

T0 = 1_800_000_000_000
BEACON = "K7Q29XMD"
LISTENER = "11" * 32


class Clock:
    """A time that goes on only when told to."""

    def __init__(self, at_ms=T0):
        self.at_ms = at_ms

    def __call__(self):
        return self.at_ms

    def pass_s(self, seconds):
        self.at_ms += int(1000 * seconds)


def paper_store(url="sqlite://", clock=None):
    """Return a store with one beacon; url: a file's or a server's, for several threads."""
    store = Store(url, clock or Clock())
    with store.writing() as session:
        session.add(beacon())
    return store


# what the two databases could do differently
both = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def store(request, tmp_path):
    """Return a store with one beacon, of the kind that `both` names."""
    url = "sqlite://"  # in memory: for one thread
    if (kind := getattr(request, "param", "")) == "sqlite":
        url = f"sqlite:///{tmp_path / 'hub.db'}"
    elif kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    with paper_store(url, Clock()) as opened:
        yield opened


def beacon(beacon_id=BEACON, **fields):
    given = {"public_key": bytes(32), "certificate": None, "station": 1, "site": "shelter-3",
             "place": "room 12", "profile": "fixed", "revoked_ms": None, "revoked_reason": None,
             "anchor_event": 1, "anchor": bytes(60), "newest_event": 0}  # fmt: skip
    return BeaconRow(id=beacon_id, **{**given, **fields})


def incident(event=1, kind="ALERT", **fields):
    """Return an incident of the paper beacon, opened at T0."""
    given = {
        "beacon": BEACON, "event": event, "kind": kind, "state": OPEN, "is_replay": False,
        "is_readable": True, "is_confirmed": True, "signature": UNSIGNED, "began_ms": T0 - 5000,
        "first_heard_ms": T0 - 3000, "last_heard_ms": T0 - 1000, "first_received_ms": T0,
        "last_received_ms": T0, "age_s": 4, "phase": 0, "battery_mv": 3700,
        "is_battery_low": False, "is_resumed": False, "crumbs": 0, "sightings": 1, "replays": 0,
        "listeners": 1, "latitude": 52.5, "longitude": 13.4, "accuracy_m": 30.0,
        "source": "listeners", "assigned_to": None, "acknowledged_ms": None, "escalation": 0,
        "revision": 1,
    }  # fmt: skip
    return IncidentRow(**{**given, **fields})


def listener(key=LISTENER, **fields):
    given = {
        "name": "kitchen", "enrolled_ms": T0, "enrolled_by": "a technician",
        "first_received_ms": T0, "last_received_ms": T0, "radio": "hearing",
        "last_advert_ms": T0, "queued": 0, "dropped": {}, "version": "1", "is_lost": False,
        "silent_since_ms": None, "latitude": 52.5, "longitude": 13.4, "accuracy_m": 10.0,
        "source": "fixed", "fixed_latitude": None, "fixed_longitude": None,
        "fixed_accuracy_m": None,
    }  # fmt: skip
    return ListenerRow(key=key, **{**given, **fields})


def sighting(incident_id, seq=0, **fields):
    given = {
        "beacon": BEACON, "event": 1, "slot": 0, "heard_ms": T0 + 2000 * seq,
        "last_heard_ms": T0 + 2000 * seq + 500, "received_ms": T0 + 2000 * seq + 900,
        "verdict": "fresh", "listener": LISTENER, "count": 3, "rssi_dbm": -60, "latitude": 52.5,
        "longitude": 13.4, "accuracy_m": 10.0, "source": "fixed", "rid": bytes(8), "status": 32,
        "battery_mv": 3700, "crumbs": 0, "phase": 0,
    }  # fmt: skip
    return SightingRow(incident=incident_id, seq=seq, **{**given, **fields})


def put(store, *rows):
    """Write rows and return their ids, or None for those without."""
    with store.writing(shows=True) as session:
        session.add_all(rows)
        session.flush()
        return [getattr(row, "id", None) for row in rows]


def timeline(store, incident_id):
    """Return (who, what, detail) of an incident's timeline, oldest first."""
    with store.reading() as session:
        rows = session.query(ActionRow).filter_by(incident=incident_id).order_by(ActionRow.id)
        return [(row.who, row.what, row.detail) for row in rows]

"""Incidents as a hub's database holds them, made without any beacon: for what shows them."""

from fanal.hub.store import Store
from fanal.hub.tables import (
    ActionRow,
    BeaconRow,
    CrumbRow,
    IncidentRow,
    ListenerRow,
    SightingRow,
    SignatureRow,
)
from sqlalchemy import insert

NOW_MS = 1_790_000_000_000


def a_store(folder, now_ms=NOW_MS):
    """Return an empty store; its clock stands at `store.clock[0]`."""
    clock = [now_ms]
    store = Store(f"sqlite:///{folder}/hub.db", lambda: clock[0])
    store.clock = clock
    return store


def add_beacon(store, beacon_id, **differs):
    """Enrol a beacon."""
    row = {
        "id": beacon_id, "public_key": bytes(32), "certificate": None, "station": 1,
        "site": "shelter-3", "place": "room 12", "profile": "fixed", "revoked_ms": None,
        "revoked_reason": None, "anchor_event": 1, "anchor": bytes(60), "newest_event": 1,
    }  # fmt: skip
    with store.writing() as session:
        session.add(BeaconRow(**row | differs))


def add_listener(store, key, **differs):
    """Make a listener known; enrolled if a name is given."""
    is_enrolled = "name" in differs
    row = {
        "key": key, "name": "", "enrolled_ms": NOW_MS - 10**9 if is_enrolled else None,
        "enrolled_by": "chief" if is_enrolled else None, "first_received_ms": NOW_MS - 10**9,
        "last_received_ms": NOW_MS - 20_000, "radio": "hearing", "last_advert_ms": NOW_MS - 21_000,
        "queued": 0, "dropped": {}, "version": "0.1.0", "is_lost": False, "silent_since_ms": None,
        "deaf_since_ms": None,
    }  # fmt: skip
    with store.writing() as session:
        session.add(ListenerRow(**row | differs))


def add_incident(store, beacon_id, event=1, **differs):
    """Add an incident; return its number."""
    row = {
        "beacon": beacon_id, "event": event, "kind": "ALERT", "state": "open", "is_replay": False,
        "is_readable": True, "is_confirmed": True, "signature": "unsigned",
        "began_ms": NOW_MS - 185_000, "first_heard_ms": NOW_MS - 180_000,
        "last_heard_ms": NOW_MS - 4_000, "first_received_ms": NOW_MS - 178_000,
        "last_received_ms": NOW_MS - 3_000, "age_s": 181, "phase": 0, "battery_mv": 2980,
        "is_battery_low": False, "is_resumed": False, "crumbs": 0, "sightings": 0, "replays": 0,
        "listeners": 0, "assigned_to": None, "acknowledged_ms": None, "escalation": 0,
        "revision": 1,
    }  # fmt: skip
    with store.writing(shows=True) as session:
        incident = IncidentRow(**row | differs)
        session.add(incident)
        session.flush()
        session.add(
            ActionRow(incident=incident.id, at_ms=incident.first_received_ms, who="hub",
                      what="opened", detail="")
        )  # fmt: skip
        return incident.id


def add_sightings(store, incident_id, listeners, number, **differs):
    """Add sightings of an incident, 2 s apart, by the listeners in turn."""
    with store.writing(shows=True) as session:
        incident = session.get_one(IncidentRow, incident_id)
        first_ms = incident.last_heard_ms - 2000 * (number - 1)
        rows = [
            {
                "incident": incident_id, "beacon": incident.beacon, "event": incident.event,
                "slot": at // 450 % 96, "seq": at % 450, "heard_ms": first_ms + 2000 * at,
                "last_heard_ms": first_ms + 2000 * at + 400,
                "received_ms": first_ms + 2000 * at + 900, "verdict": "fresh",
                "listener": listeners[at % len(listeners)], "count": 1 + at % 3,
                "rssi_dbm": None if at % 7 == 6 else -50 - at % 40,
                "latitude": 48.137 + at % 5 / 1000, "longitude": 11.575, "accuracy_m": 15.0,
                "source": "fixed", "rid": bytes(8), "status": 0x20, "battery_mv": 2980,
                "crumbs": 0, "phase": 0,
            } | differs
            for at in range(number)
        ]  # fmt: skip
        session.execute(insert(SightingRow), rows)
        incident.sightings += number
        incident.listeners = len(listeners)


def add_signature(store, incident_id, slot=0):
    """Say that the signature of a slot is complete."""
    with store.writing(shows=True) as session:
        session.add(SignatureRow(incident=incident_id, slot=slot, signature=bytes(range(64)),
                                 rid=bytes(8), status=0x20, heard_ms=NOW_MS - 60_000))  # fmt: skip
        session.get_one(IncidentRow, incident_id).signature = "signed"


def add_crumb(store, incident_id, index=0):
    """Add a location fix of the beacon's own."""
    with store.writing(shows=True) as session:
        session.add(CrumbRow(incident=incident_id, index=index, age_s=300 * index, seen=7,
                             access_points=[["00005e005301", -61], ["00005e005302", -70]],
                             heard_ms=NOW_MS - 60_000))  # fmt: skip


def a_situation(store):
    """Fill a store with one of everything that a responder may see; return numbers by word."""
    ears = [f"{n:02x}" * 32 for n in range(1, 6)]
    for key, name in zip(ears[:3], ("east gate", "kitchen", "bus station"), strict=True):
        add_listener(store, key, name=name)
    add_listener(store, ears[3])
    add_listener(store, "mqtt:home/OMG_ESP32/BTtoMQTT", radio="", last_advert_ms=None, version="")
    add_beacon(store, "K7Q29XMD")
    add_beacon(store, "3H0V5TZ1", site="van-2", place="", profile="carried")
    add_beacon(store, "9Z8Y7X6W", site="harbour", place="Pier 4 <b>", profile="carried",
               revoked_ms=NOW_MS - 10**7, revoked_reason="lost")  # fmt: skip
    made = {}
    made["closed"] = add_incident(
        store, "3H0V5TZ1", 1, state="closed", first_received_ms=NOW_MS - 10**8,
        first_heard_ms=NOW_MS - 10**8, last_heard_ms=NOW_MS - 9 * 10**7, signature="signed",
        assigned_to="duty", acknowledged_ms=NOW_MS - 99 * 10**6,
    )  # fmt: skip
    made["replay"] = add_incident(store, "K7Q29XMD", 7, is_replay=True, replays=3,
                                  is_confirmed=False, began_ms=None,
                                  first_received_ms=NOW_MS - 700_000)  # fmt: skip
    made["test"] = add_incident(store, "K7Q29XMD", 8, kind="TEST",
                                first_received_ms=NOW_MS - 600_000,
                                last_heard_ms=NOW_MS - 560_000)  # fmt: skip
    made["drill"] = add_incident(store, "K7Q29XMD", 9, kind="DRILL",
                                 first_received_ms=NOW_MS - 500_000, state="acknowledged",
                                 acknowledged_ms=NOW_MS - 450_000, assigned_to="chief")  # fmt: skip
    made["revoked"] = add_incident(store, "9Z8Y7X6W", 3, is_confirmed=False, is_resumed=True,
                                   may_be_replay=True, first_received_ms=NOW_MS - 400_000,
                                   is_readable=False, last_heard_ms=NOW_MS - 90_000)  # fmt: skip
    made["alert"] = add_incident(
        store, "3H0V5TZ1", 2, phase=1, is_battery_low=True, battery_mv=2210, latitude=48.13743,
        longitude=11.57549, accuracy_m=85.0, source="listeners", crumbs=2,
    )  # fmt: skip
    add_sightings(store, made["alert"], ears[:4], 230)
    add_sightings(store, made["drill"], ears[:1], 3)
    add_signature(store, made["alert"])
    add_crumb(store, made["alert"])
    add_crumb(store, made["alert"], 1)
    return made


def fail_two_listeners(store):
    """Make one silent and one deaf."""
    with store.writing(shows=True) as session:
        silent = session.get_one(ListenerRow, "01" * 32)
        silent.silent_since_ms, silent.last_received_ms = NOW_MS - 400_000, NOW_MS - 700_000
        deaf = session.get_one(ListenerRow, "02" * 32)
        deaf.radio, deaf.deaf_since_ms = "deaf", NOW_MS - 90_000

"""A hub whose log has a life behind it, and what somebody with an editor does to its database."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate, merkle
from fanal.hub import accounts, actions, escalation, export, hub_log, listeners, sites
from fanal.hub.store import Store
from fanal.hub.tables import FleetRow
from fanal.position import Position
from fanal_protocol import alert

from tests.unit.paper_beacon import T0
from tests.unit.paper_fleet import NOW
from tests.unit.paper_listener import KEYS
from tests.unit.test_hub_incidents import Scene

KEY = KEYS.log_key
PUBLIC = KEY.public_key().public_bytes_raw()
PASSWORD = "correct horse battery"
FLEET_KEY = Ed25519PrivateKey.from_private_bytes(b"f" * 32)


def pin(store, fleet_key=FLEET_KEY, log_key=PUBLIC):
    """Give a hub's database a fleet that certified its log key, as an enrolment would."""
    fleet = certificate.for_fleet(fleet_key, NOW)
    log = certificate.for_log(log_key, fleet, fleet_key, NOW)
    with store.writing() as session:
        row = FleetRow(id=1, certificate=certificate.to_der(fleet), made_ms=T0,
                       log_certificate=certificate.to_der(log), epoch=0)  # fmt: skip
        session.add(row)
        hub_log.enter(session, hub_log.ENROLLED, T0, of=row, beacons=2, revoked=[])


def lived(folder):
    """A hub's database in which everything happened that can, as a `Store`."""
    path = folder / "hub.db"
    path.write_bytes(_life())
    return Store(f"sqlite:///{path}", lambda: T0 + 10_000_000)


@cache
def _life():
    with TemporaryDirectory() as name:
        scene = Scene(Path(name))
        live(scene)
        with closing(sqlite3.connect(Path(name) / "hub.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        scene.hub.close()
        return (Path(name) / "hub.db").read_bytes()


def live(scene):
    store = scene.hub.store
    pin(store)
    scene.hear(scene.alert(0))
    scene.hear(scene.alert(2))  # no entry: one of an event that is known
    scene.hear(scene.alert(0, event=2, status=alert.status_byte(alert.HOLD, drill=True)))
    actions.acknowledge(store, 1, "duty")
    actions.assign(store, 1, "duty", "night shift")
    actions.note(store, 1, "duty", "on the way")
    actions.close(store, 1, "duty", actions.HELP_ARRIVED)
    actions.reopen(store, 1, "duty", "still heard")
    actions.close(store, 2, "duty", actions.DRILL_OVER)
    scene.hear(scene.alert(0, event=3))
    escalation.step(store, [1], scene.hub.now_ms + 5000)
    export.incident(store, 1, "duty")
    accounts.add(store, "duty", accounts.RESPONDER, PASSWORD)
    accounts.set_role(store, "duty", accounts.OFFICER)
    accounts.set_password(store, "duty", PASSWORD[::-1])
    accounts.disable(store, "duty")
    accounts.enable(store, "duty")
    listeners.enrol(store, scene.one.key, "east gate", "duty")
    listeners.place(store, "east gate", Position(1, 2, 3))
    listeners.enrol(store, scene.two.key, "west gate", "duty")
    listeners.forget(store, scene.two.key)
    sites.put(store, "depot", Position(1.5, 2.5, 3))
    sites.put(store, "gone", Position(1.5, 2.5, 3))
    sites.forget(store, "gone")


def sql(folder, script):
    """Change a hub's file behind the program's back."""
    with closing(sqlite3.connect(folder / "hub.db")) as connection:
        connection.executescript(script)


def rehashed(folder):
    """Make all hashes anew, as somebody would who knows how: entries count from 0 again."""
    with closing(sqlite3.connect(folder / "hub.db")) as connection:
        rows = connection.execute(
            "SELECT CAST(content AS BLOB) FROM log_leaf ORDER BY number"
        ).fetchall()
        connection.execute("DELETE FROM log_leaf")
        connection.execute("DELETE FROM log_node")
        frontier = merkle.Frontier()
        for number, (content,) in enumerate(rows):
            leaf = merkle.leaf_hash(content)
            connection.execute("INSERT INTO log_leaf VALUES (?, ?, ?)", (number, content, leaf))
            for level, at, found in frontier.append(leaf):
                if level:
                    connection.execute("INSERT INTO log_node VALUES (?, ?, ?)", (level, at, found))
        connection.commit()

"""How fast a hub catches up: deliveries in, incidents out, on SQLite and on PostgreSQL.

    python bench/hub.py [--beacons 100] [--units 1000] [--listeners 20] [--profile]

Every beacon is squeezed at the same time and sends one alert per unit of 2 s. All listeners were
cut off; then they send everything at once: groups of 50 frames, 50 groups to a delivery. Timed
are: opening alone (age and Ed25519, the floor), opening and writing into the inbox, and resolving
into incidents. What comes out is counted: every alert once. Only the ratios mean something.
"""

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402
from fanal.envelope import Opener  # noqa: E402
from fanal.hub.config import Limits  # noqa: E402
from fanal.hub.inbox import Inbox, Incoming, Taken  # noqa: E402
from fanal.hub.resolving import Resolving  # noqa: E402
from fanal.hub.tables import IncidentRow, SightingRow  # noqa: E402
from sqlalchemy import func, select  # noqa: E402
from surroundings import description  # noqa: E402

from tests.services import Postgres  # noqa: E402
from tests.unit.paper_beacon import T0, PaperBeacon, heard  # noqa: E402
from tests.unit.paper_listener import HERE, SEALING, PaperHub, PaperListener  # noqa: E402

RESULTS = Path(__file__).with_name("results") / "hub.json"
FRAMES, GROUPS = 50, 50
MOST_AT_ONCE = 4  # deliveries to a transaction, as the intake has it for large ones
UNLIMITED = Limits(listener_frames=10**9)


def deliveries(
    beacons: list[PaperBeacon], units: int, listeners: list[PaperListener]
) -> Iterator[bytes]:
    """Yield what the listeners send, in the order of hearing. Each alert is heard by one."""
    at_once = [
        heard(beacon.alert(1, 2 * unit), T0 + 2000 * unit, -60 - number % 30)
        for unit in range(units)
        for number, beacon in enumerate(beacons)
    ]
    groups = [at_once[i : i + FRAMES] for i in range(0, len(at_once), FRAMES)]
    sent_ms = T0 + 2000 * units
    for number in range(0, len(groups), GROUPS):
        one = listeners[number // GROUPS % len(listeners)]
        yield one.delivery(
            sent_ms + number, [one.group(g) for g in groups[number : number + GROUPS]]
        )


def timed(name: str, work: Callable[[], None], profile: bool) -> float:
    """Run `work` and return its seconds."""
    profiler = cProfile.Profile() if profile else None
    began_s = time.perf_counter()
    if profiler:
        profiler.runcall(work)
    else:
        work()
    took_s = time.perf_counter() - began_s
    if profiler:
        print(f"== {name}", file=sys.stderr)
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return took_s


def catch_up(hub: PaperHub, sent: list[bytes], expected: int, profile: bool) -> tuple[float, float]:
    """Return the seconds of inbox and of resolving, after checking what came out."""
    inbox = Inbox(hub.store, hub.opener, UNLIMITED)
    resolving = Resolving(hub.store, hub.keys, "bench")

    def take() -> None:
        for at in range(0, len(sent), MOST_AT_ONCE):
            items = [Incoming(data, "", hub.now_ms) for data in sent[at : at + MOST_AT_ONCE]]
            assert all(isinstance(answer, Taken) for answer in inbox.take(items))

    def resolve() -> None:
        while resolving.step():
            pass

    took = timed("inbox", take, profile), timed("resolving", resolve, profile)
    with hub.store.reading() as session:
        sightings = session.scalar(select(func.count()).select_from(SightingRow))
        incidents = session.scalars(select(IncidentRow)).all()
    assert sightings == expected, (sightings, expected)
    assert len(incidents) == len(hub.beacons)
    assert all(row.sightings == expected // len(hub.beacons) for row in incidents)
    return took


def measure(arguments: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Return the rows of the table."""
    listeners = [
        PaperListener(number, position=HERE) for number in range(1, arguments.listeners + 1)
    ]
    now_ms = T0 + 2000 * arguments.units + 60_000
    frames = arguments.beacons * arguments.units
    beacons = [PaperBeacon(number) for number in range(1, arguments.beacons + 1)]
    sent, opener = list(deliveries(beacons, arguments.units, listeners)), Opener(SEALING)
    groups = -(-frames // FRAMES)

    def open_all() -> None:
        for data in sent:
            opener.delivery(data)

    floor_s = timed("opening", open_all, arguments.profile)
    rows = [_row("opening alone", "-", groups, frames, floor_s, floor_s, None)]
    on_sqlite: dict[str, float] = {}
    for name, url in databases(folder):
        hub = PaperHub(url, arguments.beacons, now_ms=now_ms)
        hub.confirm(*listeners)
        inbox_s, resolving_s = catch_up(hub, sent, frames, arguments.profile)
        hub.close()
        took = {"inbox": inbox_s, "resolving": resolving_s, "both": inbox_s + resolving_s}
        for what, took_s in took.items():
            beside = on_sqlite.setdefault(what, took_s)
            rows.append(_row(what, name, groups, frames, took_s, floor_s, beside))
    return rows


def databases(folder: Path) -> Iterator[tuple[str, Path | str]]:
    """Yield the name and the place of an empty database of each kind that there is."""
    yield "SQLite", folder / "measured.db"
    folder.chmod(0o755)  # the server runs as somebody else
    server_folder = folder / "postgres"
    server_folder.mkdir()
    try:
        server = Postgres(server_folder)
    except pytest.skip.Exception as missing:
        print(f"PostgreSQL is left out: {missing}", file=sys.stderr)
        return
    server.start()
    try:
        yield "PostgreSQL", server.url(server.create())
    finally:
        server.kill()


def _row(
    what: str, database: str, groups: int, frames: int, took_s: float, floor_s: float,
    sqlite_s: float | None,
) -> dict[str, object]:  # fmt: skip
    return {"what": what, "database": database, "s": round(took_s, 2),
            "groups_per_s": round(groups / took_s), "frames_per_s": round(frames / took_s),
            "times_opening": round(took_s / floor_s, 1),
            "times_sqlite": "-" if sqlite_s is None else round(took_s / sqlite_s, 2)}  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| what | database | s | groups/s | frames/s | times opening | times SQLite |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it with the surroundings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--beacons", type=int, default=100)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--listeners", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(arguments, Path(folder))
    print(table(rows))
    if not arguments.profile:
        RESULTS.parent.mkdir(exist_ok=True)
        size = {"beacons": arguments.beacons, "units": arguments.units}
        RESULTS.write_text(json.dumps({**description(), **size, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

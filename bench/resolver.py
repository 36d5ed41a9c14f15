"""How fast a resolver tells whose a packet is, and what its table costs, as a fleet grows.

    python bench/resolver.py [--fleets 1000,100000,1000000] [--seed 1] [--packets 60000] [--profile]

Each fleet is a process of its own, whose garbage collector is set as a hub's (`fanal.heap`). Every
beacon has been seen at its event 2, so events 1 to 4 are in the table: 384 identifiers each, the
most that a window of 2 asks for. Times are of the process (CPU seconds), not of the wall, so that
other programs on the machine count less; the load is printed beside. Peers that are not installed
are left out by name: `pip install '.[bench]'`. Plots need the extra `plot`.
"""

import argparse
import gc
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from fanal import heap, index_file  # noqa: E402
from fanal.event_keys import EventKeys  # noqa: E402
from fanal.heard import Heard  # noqa: E402
from fanal.resolver import Resolver  # noqa: E402
from fanal.wide_watch import WideWatch  # noqa: E402
from fanal_protocol import alert, keys, slot  # noqa: E402
from fanal_protocol.line import DUPLICATE, FRESH  # noqa: E402
from resolver_peers import peers  # noqa: E402
from resolver_plots import draw  # noqa: E402
from resolver_profile import ALL, first_frames  # noqa: E402
from surroundings import description  # noqa: E402

RESULTS = HERE / "results"
T0 = 1_790_000_000_000
SEEN = 2  # the newest event of every beacon
TIMES = 6
BATCH = 10_000
STORAGE = bytes(32)
FLEETS = (1_000, 100_000, 1_000_000)
DEEP_BEACONS, DEEP_EVENTS = 10_000, 64


def beacons(count: int, seed: int, first: int = 0) -> Iterator[EventKeys]:
    """Yield made-up beacons; their keys are as random as real ones."""
    for number in range(first, first + count):
        secret = hashlib.sha512(b"%d %d" % (seed, number)).digest()
        yield EventKeys(keys.beacon_id(secret[:32]), secret[:32], 1, secret[32:])


def batches(all_of_them: Iterable[EventKeys]) -> Iterator[list[EventKeys]]:
    """Yield them by ten thousand, so that they need not all be there as objects."""
    batch: list[EventKeys] = []
    for one in all_of_them:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def rss_bytes() -> int:
    """Return what this process has in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Timer:
    """CPU seconds of this process, and of the wall, within a `with`."""

    def __enter__(self) -> "Timer":
        self._began = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_s = time.process_time() - self._began[0]
        self.wall_s = time.perf_counter() - self._began[1]


def payload(event_keys: EventKeys, unit: int) -> bytes:
    """Return the alert of one unit."""
    at_slot, seq = divmod(unit, slot.UNITS)
    rid, mask = event_keys.rid_and_mask(at_slot)
    plain = alert.Alert(0x20, 156, 0, 0)
    return alert.seal(event_keys.alert_key, rid, slot.masked(seq, mask), plain)


class Fleet:
    """One fleet in a resolver, and frames of it."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self.dice = random.Random(seed)
        self.resolver = Resolver([])
        self.resolver._watch = WideWatch(2)
        gc.collect()
        before = rss_bytes()
        self.build_s = self.build_wall_s = 0.0
        for batch in batches(beacons(count, seed)):
            newest = {one.beacon_id: SEEN for one in batch}
            with Timer() as timer:
                self.resolver.watch(batch, newest=newest)
            self.build_s += timer.cpu_s
            self.build_wall_s += timer.wall_s
        with Timer() as timer:
            self.table.index.settle()
        self.build_s += timer.cpu_s
        self.build_wall_s += timer.wall_s
        del batch, newest
        gc.collect()
        self.rss = rss_bytes() - before
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._order = self.dice.sample(range(count), count)
        self._at = 0

    @property
    def table(self) -> WideWatch:
        """The resolver's table."""
        table = self.resolver._watch
        assert isinstance(table, WideWatch)
        return table

    def places(self, most: int) -> list[int]:
        """Return the places of beacons that were not given out before, if there are such."""
        if self._at + most > self.count:
            self._at = 0
        taken = self._order[self._at : self._at + most]
        self._at += most
        return taken

    def frames(self, packets: int, event: int, times: int, begin: int) -> list[Heard]:
        """Return alerts of one event of many beacons, each heard `times` within two seconds.

        begin: the unit of the first. As many beacons as packets, if there are so many.
        """
        distinct = packets // times
        chosen = self.places(min(self.count // 8, distinct))
        found = []
        for number, place in enumerate(chosen):
            event_keys = self.table.rows.keys(place).ahead(event)
            more = distinct // len(chosen) + (number < distinct % len(chosen))
            for unit in range(begin, begin + more):
                frame = payload(event_keys, unit)
                t_ms = T0 + 3_600_000 * event + 2000 * unit + self.dice.randrange(100)
                for _ in range(times):
                    # as a radio gives it: bytes that nobody has hashed yet
                    found.append(Heard(bytes(bytearray(frame)), -60, t_ms, ""))
                    t_ms += self.dice.randrange(400)
        found.sort(key=lambda heard: heard.t_ms)
        return found

    def rate(self, frames: list[Heard]) -> tuple[float, dict[str, int]]:
        """Return packets per CPU second, and what they were."""
        take, counts = self.resolver.take, self.resolver.counts
        counts.clear()
        heap.settle()
        with Timer() as timer:
            for heard in frames:
                take(heard)
        return len(frames) / timer.cpu_s, dict(counts)


def measure_fleet(
    count: int, seed: int, packets: int, profile: bool, path: Path
) -> dict[str, object]:
    """Return all figures of one fleet. path: where its table is saved."""
    fleet = Fleet(count, seed)
    row: dict[str, object] = {
        "beacons": count, "build_s": fleet.build_s, "build_wall_s": fleet.build_wall_s,
        "table_bytes": fleet.table.nbytes / count, "rss_bytes": fleet.rss / count,
        "peak_bytes": fleet.peak / count, "entries": len(fleet.table.index),
    }  # fmt: skip
    frames = fleet.frames(packets // 2, SEEN, 1, 0)
    row["distinct"], counts = fleet.rate(frames)
    assert counts == {FRESH: len(frames)}, counts
    frames = fleet.frames(packets, SEEN, TIMES, 8000)
    row["six"], counts = fleet.rate(frames)
    assert counts[FRESH] * TIMES == len(frames), counts
    assert counts[DUPLICATE] == len(frames) - counts[FRESH], counts
    row["again"], counts = fleet.rate(frames)
    assert counts == {DUPLICATE: len(frames)}, counts
    frames = fleet.frames(packets // 2, SEEN + 1, 1, 0)
    row["new_event"], counts = fleet.rate(frames)
    assert counts == {FRESH: len(frames)}, counts
    dice = fleet.dice
    noise = [Heard(b"\x20" + dice.randbytes(8) + b"\x00\x01" + dice.randbytes(12), -60,
                   T0 + 100 * i, "") for i in range(packets // 2)]  # fmt: skip
    row["noise"], counts = fleet.rate(noise)
    assert counts["unknown"] == len(noise), counts
    if profile:
        heap.settle()
        row["profile"] = first_frames(fleet.resolver, lambda: fleet.frames(
            min(packets // 2, count // 8), SEEN, 1, 0))  # fmt: skip
    row["probe_us"] = _probe_us(fleet)
    row["advance_us"] = _advance_us(fleet)
    with Timer() as timer:
        fleet.resolver.watch(list(beacons(1000, seed, count)))
        fleet.table.index.settle()
    row["add_thousand_s"] = timer.cpu_s
    row.update(_saved(fleet, path))
    return row


def _probe_us(fleet: Fleet) -> float:
    rids = [fleet.dice.randbytes(8) for _ in range(20_000)]
    probe = fleet.table.index.probe
    with Timer() as timer:
        for rid in rids:
            probe(rid)
    return 1e6 * timer.cpu_s / len(rids)


def _advance_us(fleet: Fleet) -> float:
    """Return what it takes to move the window of one beacon, the joining of runs included."""
    table, most = fleet.table, min(2000, fleet.count // 4)
    events = []
    for place in fleet.places(most):
        beacon = table.beacon(place)
        number = beacon.newest + 1
        events.append(next(e for e, _ in table.candidates(
            beacon.keys_of(number).rid_and_mask(0)[0]) if e.beacon.place == place))  # fmt: skip
    nothing: frozenset[bytes] = frozenset()
    with Timer() as timer:
        for event in events:
            table.advance(event, nothing)
    return 1e6 * timer.cpu_s / most


def _saved(fleet: Fleet, path: Path) -> dict[str, object]:
    """Return what saving and loading takes, after a restart of which nothing has moved."""
    told = {}
    anchors: list[EventKeys] = []
    for place in range(len(fleet.table)):
        anchors.append(fleet.table.rows.keys(place))
        told[anchors[-1].beacon_id] = int(fleet.table.rows.newest[place])
    with Timer() as saving:
        fleet.resolver.save(path, STORAGE)
    size = path.stat().st_size
    gc.collect()
    gc.freeze()  # who starts has no million other objects to look through
    with Timer() as starting:
        again = Resolver([])
        assert again.watch_saved(path, STORAGE, anchors, newest=told) is None
    return {"save_s": saving.cpu_s, "save_wall_s": saving.wall_s, "file_bytes": size / fleet.count,
            "start_s": starting.cpu_s,
            "start_wall_s": starting.wall_s}  # fmt: skip


def deep(seed: int) -> dict[str, float]:
    """Return what it takes to look through 64 events of 10,000 beacons, in vain."""
    resolver = Resolver([])
    for batch in batches(beacons(DEEP_BEACONS, seed)):
        resolver.watch(batch)
    stranger = next(beacons(1, seed + 1))
    resolver.take(Heard(payload(stranger, 0), -60, T0, ""))
    with Timer() as timer:
        assert resolver.search_deeper(DEEP_BEACONS * DEEP_EVENTS) == []
    assert resolver.has_unsearched
    events = DEEP_BEACONS * DEEP_EVENTS
    lost = next(beacons(1, seed)).ahead(2 + DEEP_EVENTS + 1)
    resolver.take(Heard(payload(lost, 0), -60, T0, ""))
    return {"beacons": DEEP_BEACONS, "events": DEEP_EVENTS, "s": timer.cpu_s,
            "event_us": 1e6 * timer.cpu_s / events}  # fmt: skip


def in_its_own_process(count: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Return `measure_fleet`, of a process that has nothing else in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rids.index")
        command = ["--one", str(count), "--seed", str(arguments.seed), "--packets",
                   str(arguments.packets), "--path", path]  # fmt: skip
        row = _run([*command, "--profile"] if arguments.profile else command)
        row.update(_run(["--read", path]))  # as after a restart: nothing else is in memory
    return {**row, "load": round(os.getloadavg()[0], 1)}


def _run(arguments: list[str]) -> dict[str, object]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    row: dict[str, object] = json.loads(done.stdout)
    return row


SPEEDS = (("distinct", "all distinct"), ("six", "each heard six times"),
          ("again", "the same once more"), ("new_event", "the first of a new event"),
          ("noise", "nobody's"))  # fmt: skip
COSTS = (
    ("build_s", "s to build"), ("table_bytes", "bytes a beacon, arrays"),
    ("rss_bytes", "bytes a beacon, resident"), ("peak_bytes", "the most while building"),
    ("save_s", "s to save"), ("read_s", "s to read and open"),
    ("start_s", "s to start from it, beside another"),
    ("advance_us", "us to advance one beacon"), ("add_thousand_s", "s to add a thousand"),
    ("probe_us", "us a probe"), ("load", "load of the machine"),
)  # fmt: skip


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _number(value: object) -> str:
    number = float(str(value))
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def report(results: dict[str, object]) -> str:
    """Return the tables of a run."""
    fleets, others = results["fleets"], results["peers"]
    assert isinstance(fleets, list)
    assert isinstance(others, dict)
    head = ["", *(f"{row['beacons']:,} beacons" for row in fleets)]
    speeds = [[name, *(_number(row[key]) for row in fleets)] for key, name in SPEEDS]
    costs = [[name, *(_number(row[key]) for row in fleets)] for key, name in COSTS]
    ours = fleets[-1]["six"]
    beside = [[name, _number(one["per_s"]), f"× {ours / one['per_s']:,.1f}", one["what"]]
              for name, one in others.items()]  # fmt: skip
    search = results["deep"]
    assert isinstance(search, dict)
    parts = []
    if "profile" in fleets[-1]:
        steps = fleets[-1]["profile"]
        rows = [[step, f"{us:.1f}", f"{100 * us / steps[ALL]:.0f} %"]
                for step, us in steps.items()]  # fmt: skip
        parts = ["The first frame of a beacon, in the largest fleet:",
                 table(["step", "us", "share"], rows)]  # fmt: skip
    return "\n\n".join([
        "Packets a second and core:", table(head, speeds),
        "Peers, and how many times theirs six times heard in the largest fleet is:",
        table(["peer", "packets/s", "ours", "what it does"], beside),
        "The table:", table(head, costs),
        f"Deep search, {search['beacons']:,} beacons x {search['events']} events: "
        f"{search['s']:.1f} s, {search['event_us']:.1f} us an event.", *parts,
    ])  # fmt: skip


def main() -> None:
    """Measure, print the tables, write results/resolver.json and the plots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fleets", default=",".join(map(str, FLEETS)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--packets", type=int, default=60_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--profile", action="store_true", help="print where the time of a first frame goes"
    )
    arguments = parser.parse_args()
    if arguments.read:
        with Timer() as timer:
            index_file.load(arguments.read, STORAGE)
        print(json.dumps({"read_s": timer.cpu_s, "read_wall_s": timer.wall_s}))
        return
    if arguments.one:
        row = measure_fleet(arguments.one, arguments.seed, arguments.packets, arguments.profile,
                            arguments.path)  # fmt: skip
        print(json.dumps(row))
        return
    began_s = time.monotonic()
    results: dict[str, object] = {**description(), "seed": arguments.seed, "times": TIMES}
    results["fleets"] = [in_its_own_process(int(count), arguments)
                         for count in arguments.fleets.split(",")]  # fmt: skip
    results["deep"] = deep(arguments.seed)
    results["peers"] = peers(arguments.seed)
    results["took_s"] = round(time.monotonic() - began_s)
    print(report(results))
    if not arguments.profile:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "resolver.json").write_text(json.dumps(results, indent=1) + "\n")
        draw(results, RESULTS)


if __name__ == "__main__":
    main()

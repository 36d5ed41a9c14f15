"""From a volunteer's ear to a responder's page, told as facts that were really observed.

Thirty virtual beacons, two volunteers' listeners and a hub, each run by the command that its user
runs. One beacon is squeezed, one has a drill; packets are forged and replayed. What is told is
what a responder who is logged in sees, by the hub's own page and API.
"""

import asyncio
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanal_protocol import advert, frame

from fanal import drill
from fanal.beacon_name import shown
from fanal.board_link import BoardLink
from fanal.demo_responder import Responder
from fanal.keyring import Keyring, Station
from fanal.provision import Provisioned, Request, provision
from fanal.registry import REGISTRY_FILE, Registry
from fanal.sighting import ALERT, DRILL
from fanal.sim import tape
from fanal.sim.air import Frame
from fanal.sim.board import Board
from fanal.sim.chip import ASLEEP
from fanal.sim.world import World
from fanal.story import Detail, Fact, Facts, Say, Scene

BOARDS = 30
SITES = ("shelter-3", "depot-1", "clinic-2")
LISTENERS = {"east": "52.5200,13.4050,15", "west": "52.5204,13.4043,15"}
AREA = "demo-town"
USER = "responder"
_SITE_AT = "52.5202,13.4046,20"
# short events, so that the air is free again soon; asleep soon after they were provisioned
_SETTINGS = {"alert_s": 60, "event_s": 120, "window_s": 20}
_HANDS = 4  # boards that are provisioned side by side
_SEEN_S = 30.0
_REPLAY_AFTER_S = 35.0  # beyond the tolerance of SPEC 3.2
_STOP_S = 10.0


@dataclass(frozen=True)
class Stay:
    """How to look at it: the page's address and who may log in."""

    url: str
    user: str
    password: str


def demo(
    folder: Path,
    say: Say,
    stay: Callable[[Stay], None] | None = None,
    *,
    boards: int = BOARDS,
) -> bool:
    """Play the story in `folder`, which must not exist or be empty; return whether all was so.

    stay: called when all has been told, with hub and listeners still running; it returns when
    they may be stopped. boards: 9 or more.
    """
    facts = Facts(say)
    asyncio.run(_play(folder, facts, stay, boards))
    return facts.are_all_so


async def _play(folder: Path, say: Say, stay: Callable[[Stay], None] | None, boards: int) -> None:
    async with World(folder / "bench", seed=23) as world:
        story = _Relay(world, folder, say, boards)
        try:
            await story.prepare()
            await story.open_hub()
            await story.listen()
            await story.squeeze()
            await story.rehearse()
            await story.attack()
            await story.look_at_the_volunteers()
            if stay is not None:
                await asyncio.to_thread(stay, Stay(story.url, USER, story.password))
        finally:
            await story.stop()


class _Relay:
    """The scenes, in order."""

    def __init__(self, world: World, folder: Path, say: Say, boards: int) -> None:
        self.world, self.folder, self.say, self.count = world, folder, say, boards
        self.fleet_dir, self.hub_dir = folder / "fleet", folder / "hub"
        self.bundle = folder / "volunteers.fanal"
        self.password = secrets.token_urlsafe(12)
        self.environment = {
            **os.environ,
            "FANAL_PASSPHRASE": secrets.token_urlsafe(12),
            "FANAL_HUB": str(self.hub_dir),
            "XDG_STATE_HOME": str(folder / "state"),  # nothing of the story stays
        }
        self.running: list[asyncio.subprocess.Process] = []
        self.beacons: dict[str, str] = {}  # board's name -> beacon id
        self.tape: list[Frame] = []

    def fact(self, text: str, is_so: object) -> None:
        self.say(Fact(text, bool(is_so)))

    # -- the fleet

    async def prepare(self) -> None:
        """Thirty beacons get their identities."""
        self.say(Scene(f"A fleet, and {self.count} beacons at {len(SITES)} sites"))
        made = await self._fanal("--fleet", str(self.fleet_dir), "fleet", "init")
        self.fact("the fleet is created", made is not None)
        boards = [self.world.add_board(f"b{n + 1}") for n in range(self.count)]
        station = await asyncio.to_thread(self._station)
        with ThreadPoolExecutor(_HANDS) as hands:
            loop = asyncio.get_running_loop()
            jobs = [
                loop.run_in_executor(hands, self._provision, board, station, SITES[n % len(SITES)])
                for n, board in enumerate(boards)
            ]
            done = await asyncio.gather(*jobs)
        self.beacons = {b.name: d.beacon_id for b, d in zip(boards, done, strict=True)}
        self.fact(f"{len(set(self.beacons.values()))} beacons hold their own keys",
                  len(set(self.beacons.values())) == self.count)  # fmt: skip
        self.world.air.tap(self.tape.append)
        await self.world.wait_until(lambda: all(b.state == ASLEEP for b in boards), 300)
        self.fact("all of them sleep, and nothing is on air", not self.tape)

    def _station(self) -> Station:
        return Keyring.unlock(self.fleet_dir, self.environment["FANAL_PASSPHRASE"]).station()

    def _provision(self, board: Board, station: Station, site: str) -> Provisioned:
        with (
            Registry(self.fleet_dir / REGISTRY_FILE) as registry,
            BoardLink(board.port) as link,
        ):
            return provision(
                link, station, registry, Request(site, f"room {board.name}", settings=_SETTINGS)
            )

    # -- the hub

    async def open_hub(self) -> None:
        """The officer enrols a hub; a responder may log in."""
        self.say(Scene("A hub, enrolled by the officer; an account; a bundle for volunteers"))
        self.hub_dir.mkdir()
        port = _free_port()
        (self.hub_dir / "hub.toml").write_text(f'[hub]\nbind = "127.0.0.1:{port}"\n')
        self.url = f"http://127.0.0.1:{port}"
        asked = await self._fanal("hub", "init") or {}
        sealed = self.folder / "enrolment.age"
        to = str(asked.get("request", ""))
        fleet = ("--fleet", str(self.fleet_dir))
        made = await self._fanal(*fleet, "hub", "enrol", "--to", to, "--out", str(sealed), "--yes")
        accepted = await self._fanal("hub", "accept", str(sealed)) or {}
        self.fact(
            f"one sealed file took {self.count} next event keys to it: no root, no signing key",
            made is not None and accepted.get("added") == self.count,
        )
        await self._fanal("hub", "site", "set", SITES[0], "--at", _SITE_AT)
        password = self.folder / "password.txt"
        password.write_text(self.password + "\n")
        await self._fanal("hub", "user", "add", USER, "--role", "officer",
                          "--password-file", str(password))  # fmt: skip
        password.unlink()
        await self._fanal(*fleet, "volunteer", "bundle", "--area", AREA,
                          "--relay", f"{self.url}/deliver", "--out", str(self.bundle))  # fmt: skip
        self.running.append(await self._start("hub"))
        self.responder = Responder(self.url)
        ready = await self._until(self.responder.is_ready)
        logged_in = ready and await asyncio.to_thread(self.responder.log_in, USER, self.password)
        self.fact("the hub runs, and a responder is logged in to its page", logged_in)

    async def listen(self) -> None:
        """Two volunteers with nothing but the bundle."""
        self.say(Scene("Two volunteers listen, with nothing but the bundle"))
        for name, at in LISTENERS.items():
            self.running.append(await self._start(
                "listen", "--bundle", str(self.bundle), "--air", self.world.air_address,
                "--state", str(self.folder / name), "--at", at,
            ))  # fmt: skip
        came = await self._until(lambda: len(self.responder.listeners()) == len(LISTENERS))
        self.fact("the hub knows both by their own keys", came)
        keys = [one["key"] for one in self.responder.listeners()]
        enrolled = await self._fanal(
            "hub", "listener", "enrol", keys[0], "--name", "east gate", "--as", USER
        ) if keys else None  # fmt: skip
        self.fact("the officer enrols one; what the other hears counts, unconfirmed", enrolled)

    # -- somebody needs help

    async def squeeze(self) -> None:
        """One of the thirty."""
        self.say(Scene("One of the thirty is squeezed"))
        board = self.world.boards["b7"]
        came = await self._seen(board, ALERT)
        self._explain(came)
        told = came and (came["beacon"], came["site"])
        self.fact("it names the beacon and its site", told == (self.beacons["b7"], SITES[0]))
        signed = await self._until(lambda: self._incident(board)["signature"] == "signed")
        self.fact("the beacon's own signature is whole and valid", signed)
        both = await self._until(lambda: self._incident(board)["listeners"] == len(LISTENERS))
        self.fact("both volunteers heard it", both)
        now = self._incident(board)
        self.fact("it is confirmed, since an enrolled listener heard it", now["is_confirmed"])
        where = now["position"] or {}
        self.fact("it is where its site is", where.get("source") == "site")

    async def rehearse(self) -> None:
        """Another one, armed for a drill."""
        self.say(Scene("Another one is armed for a drill and squeezed"))
        board = self.world.boards["b8"]
        board.reset()
        armed = await asyncio.to_thread(self._arm, board)
        await self.world.wait_until(lambda: board.state == ASLEEP, 300)
        came = await self._seen(board, DRILL) if armed else None
        self._explain(came)
        pages = await asyncio.to_thread(self.responder.page, "/")
        self.fact("the page says DRILL, and the alert beside it ALERT",
                  DRILL in pages and ALERT in pages)  # fmt: skip

    def _arm(self, board: Board) -> bool:
        with BoardLink(board.port) as link:
            return drill.arm(link, 10).armed_s > 0

    async def attack(self) -> None:
        """What was recorded is played again, and something like it is made up."""
        self.say(Scene("Somebody replays what they recorded, and forges"))
        board = self.world.boards["b7"]
        alerts = [one for one in self.tape if len(advert.unwrap(one.data)) == 23]
        first = alerts[0]
        late_s = _REPLAY_AFTER_S - (self.world.air.now_ms() - first.t_ms) / 1000
        await asyncio.sleep(max(0.0, late_s))
        before = self._incident(board)
        await tape.replay(self.world.air, [first])
        named = await self._until(lambda: self._incident(board)["replays"] > before["replays"])
        after = self._incident(board)
        self.fact("the recorded packet is named a replay, and moves nothing",
                  named and after["last_heard_ms"] >= before["last_heard_ms"]
                  and after["began_ms"] == before["began_ms"])  # fmt: skip
        count = len(self.responder.incidents())
        for _ in range(20):
            tape.forge(self.world.air, _forged(first))
        # a true one behind them shows that they have been looked at
        await self._seen(self.world.boards["b9"], ALERT)
        self.fact("20 forged packets raised nothing, and hid nothing",
                  len(self.responder.incidents()) == count + 1)  # fmt: skip

    async def look_at_the_volunteers(self) -> None:
        """What is on their disks."""
        self.say(Scene("Somebody takes a volunteer's computer"))
        disk = b"".join(
            path.read_bytes()
            for name in LISTENERS
            for path in sorted((self.folder / name).rglob("*"))
            if path.is_file()
        ) + self.bundle.read_bytes()  # fmt: skip
        payloads = {advert.unwrap(one.data) for one in self.tape}
        wanted = [name.encode() for name in (*self.beacons.values(), *SITES)]
        for payload in payloads:
            wanted += [payload, payload.hex().encode()]
            if len(payload) == 23:
                rid = frame.decode(payload).rid
                wanted += [rid, rid.hex().encode()]
        found = [one for one in wanted if one in disk]
        self.fact(f"on {len(disk) >> 10} KB of disk is none of {len(payloads)} packets, and no "
                  "beacon or site is named", disk and not found)  # fmt: skip

    # -- inside

    async def _seen(self, board: Board, kind: str) -> dict[str, Any] | None:
        """Squeeze `board`, and return its incident as soon as a responder sees it."""
        began_s, began_ms = time.monotonic(), self.world.air.now_ms()
        first = len(self.tape)
        board.squeeze("hold")
        seen = await self._until(lambda: bool(self._incident(board)))
        seen_s = time.monotonic() - began_s
        incident = self._incident(board) if seen else None
        is_right = incident is not None and incident["kind"] == kind
        self.fact(f"a responder sees {shown(self.beacons[board.name])}: {kind}", is_right)
        sent = [one for one in self.tape[first:] if one.sender == board.identity.mac]
        if seen and sent:
            quiet_s = (sent[0].t_ms - began_ms) / 1000
            self.say(Detail(
                f"{seen_s:.1f} s after the first touch, {seen_s - quiet_s:.1f} s after its first "
                "packet"))  # fmt: skip
        return incident if is_right else None

    def _incident(self, board: Board) -> dict[str, Any]:
        """Return the newest incident of a board's beacon, as a responder sees it; {} if none."""
        beacon_id = self.beacons[board.name]
        rows = [row for row in self.responder.incidents() if row["beacon"] == beacon_id]
        return rows[0] if rows else {}

    def _explain(self, incident: dict[str, Any] | None) -> None:
        if incident is None:
            return
        took_s = (incident["first_received_ms"] - incident["first_heard_ms"]) / 1000
        self.say(Detail(
            f"incident {incident['id']}: {incident['kind']}  {shown(incident['beacon'])}  "
            f"{incident['site']}, {incident['place']}; received {took_s:.1f} s after it was "
            f"heard, battery {incident['battery_mv'] / 1000:.2f} V"))  # fmt: skip

    async def _until(self, is_so: Callable[[], Any], timeout_s: float = _SEEN_S) -> bool:
        """Ask in a thread until it is so, each time that the page says something changed."""
        ends_s = time.monotonic() + timeout_s
        while time.monotonic() < ends_s:
            with suppress(ConnectionError, KeyError):
                if await asyncio.to_thread(is_so):
                    return True
            await asyncio.to_thread(self.responder.wait_for_change, 0.5)
        return False

    async def _fanal(self, *words: str) -> dict[str, Any] | None:
        """Run a command with --json and return its object, None if it failed."""
        child = await asyncio.create_subprocess_exec(
            *_command(words), "--json",
            env=self.environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await child.communicate()
        if child.returncode:
            self.say(Detail(f"`fanal {words[0]} {words[1]}` ended with {child.returncode}"))
            return None
        answer: dict[str, Any] = json.loads(output)
        return answer

    async def _start(self, *words: str) -> asyncio.subprocess.Process:
        with (self.folder / f"{words[0]}-{len(self.running)}.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *_command(words), env=self.environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    async def stop(self) -> None:
        """End what still runs."""
        for process in reversed(self.running):
            with suppress(ProcessLookupError):
                process.terminate()
        for process in self.running:
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if hasattr(self, "responder"):
            await asyncio.to_thread(self.responder.close)


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "fanal", *words]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _forged(recorded: Frame) -> bytes:
    """Return an alert that nobody sent: the form is right, and nothing else."""
    payload = bytearray(advert.unwrap(recorded.data))
    payload[1:9] = secrets.token_bytes(8)
    wrapped: bytes = advert.wrap(bytes(payload))
    return wrapped

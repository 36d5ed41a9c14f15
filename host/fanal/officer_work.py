"""The works of `fanal.sealed_work`: what is done with the fleet's secrets, in a process of its own.

Each gets the open keyring (or the opener, where there is none yet) and what is wanted, and returns
an answer without any secret that its caller has no need of. What a work needs is imported by it:
the one that most commands want, a station's keys, is to begin at once.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fanal import secret_process
from fanal.error import FanalError
from fanal.keyring import Keyring
from fanal.private_file import write_private
from fanal.sealed_work import Answer, Opener, failure

_Wanted = dict[str, Any]


def _unlocked(folder: Path, opener: Opener) -> Keyring:
    if opener.identity is not None:
        return Keyring.unlock_by(folder, opener.identity, opener.passphrase)
    return Keyring.unlock(folder, opener.passphrase)


def _init(folder: Path, opener: Opener, _: _Wanted) -> Answer:
    from fanal import fleet

    made = fleet.create(folder, opener.passphrase)
    return Answer({"folder": str(made.folder), "name": made.name, "station": made.station})


def _station(folder: Path, opener: Opener, _: _Wanted) -> Answer:
    own = _unlocked(folder, opener).station()
    return Answer({"number": own.number, "root": own.root.hex(), "signing": own.signing.hex()})


def _roots(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    """Give the roots of stations: of this one, and of all that are named if the officer is here."""
    from fanal_protocol import keys

    open_keyring = _unlocked(folder, opener)
    own = open_keyring.station()
    roots = {own.number: own.root}
    if missing := set(wanted["stations"]) - roots.keys():
        try:
            root = open_keyring.officer().root
        except FanalError as error:
            if error.code != "no_secret":
                raise
        else:
            roots |= {number: keys.station_root(root, number) for number in missing}
    return Answer({"roots": {str(number): root.hex() for number, root in roots.items()}})


def _recipient(folder: Path, opener: Opener, _: _Wanted) -> Answer:
    """Give the public half of the fleet's sealing key."""
    from fanal.envelope import Opener as Envelope

    return Answer({"recipient": Envelope(_unlocked(folder, opener).officer().sealing).recipient})


def _enrol(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal.high_water import HighWater
    from fanal.hub import enrolment, request
    from fanal.registry import REGISTRY_FILE, Registry

    officer = _unlocked(folder, opener).officer()
    with Registry(folder / REGISTRY_FILE) as registry:
        fleet_key = officer.signing_key.public_key().public_bytes_raw()
        heard = HighWater(Path(wanted["state"]), fleet_key).read()
        made = enrolment.make(officer, registry, request.parse(wanted["request"]), heard=heard)
    return Answer({"fleet": made.fleet, "beacons": made.beacons, "revoked": made.revoked,
                   "behind": made.behind}, made.sealed)  # fmt: skip


def _station_request(folder: Path, opener: Opener, _: _Wanted) -> Answer:
    from fanal import station

    return Answer({"line": station.request(folder, opener.passphrase).line})


def _station_create(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import anchor, station
    from fanal.log_checkpoint import checkpoint_or_why
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.station_request import parse

    open_keyring = _unlocked(folder, opener)
    officer, own = open_keyring.officer(), open_keyring.station()
    with Registry(folder / REGISTRY_FILE) as registry:
        made = station.create(officer, registry, parse(wanted["request"]), wanted["number"])
        write_private(Path(wanted["out"]), made.sealed)
        unsigned = checkpoint_or_why(registry, own, anchor.default_folder())
    return Answer({"number": made.number, "fleet": made.fleet, "fingerprint": made.fingerprint,
                   "is_new": made.is_new, "unsigned": unsigned})  # fmt: skip


def _station_look(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import station

    sealed = _station_file(wanted)
    return Answer(asdict(station.look(_unlocked(folder, opener), sealed)))


def _station_join(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import station

    sealed = _station_file(wanted)
    return Answer(asdict(station.join(_unlocked(folder, opener), sealed, wanted["fingerprint"])))


def _station_file(wanted: _Wanted) -> bytes:
    from fanal import bounded_file
    from fanal.station_file import MOST_BYTES

    return bounded_file.read(Path(wanted["file"]), MOST_BYTES, "a station's file")


def _export(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import anchor, registry_export
    from fanal.registry import REGISTRY_FILE, Registry

    open_keyring = _unlocked(folder, opener)
    with Registry(folder / REGISTRY_FILE) as registry:
        done = registry_export.export_by(
            open_keyring, registry, Path(wanted["out"]), wanted["form"], is_sealed=wanted["sealed"],
            is_signed=wanted["signed"], anchors=anchor.default_folder(),
        )  # fmt: skip
    return Answer(asdict(done))


def _records(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    """Give what a station exported, opened."""
    from fanal import bounded_file, sealed_records
    from fanal.registry_copy import MOST_BYTES

    sealed = bounded_file.read(Path(wanted["file"]), MOST_BYTES, "an exported registry")
    return Answer({}, sealed_records.opened(sealed, _unlocked(folder, opener).officer().root))


def _officers(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import officers

    open_keyring = _unlocked(folder, opener)
    match wanted["do"]:
        case "add":
            done = officers.add(open_keyring, wanted["recipient"])
        case "remove":
            passphrase = wanted["passphrase"] or opener.passphrase
            done = officers.remove(open_keyring, wanted["recipient"], passphrase)
        case _:
            done = officers.Officers(open_keyring.officers(), False)
    return Answer({"officers": done.recipients, "changed": done.changed})


def _backup(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import backup

    plan = wanted["plan"]
    made = backup.back_up(
        _unlocked(folder, opener), Path(wanted["out"]), passphrase=wanted["passphrase"],
        plan=None if plan is None else (plan[0], plan[1]),
    )  # fmt: skip
    return Answer({**asdict(made), "beside": str(made.beside)})


def _restore(folder: Path, opener: Opener, wanted: _Wanted) -> Answer:
    from fanal import anchor, backup

    done = backup.restore(
        Path(wanted["file"]), folder, opener.passphrase, passphrase=wanted["passphrase"],
        words=wanted["words"], state=Path(wanted["state"]),
        anchors=anchor.default_folder(),
    )  # fmt: skip
    return Answer({**asdict(done), "folder": str(done.folder)})


WORKS: dict[str, Callable[[Path, Opener, _Wanted], Answer]] = {
    "init": _init,
    "station": _station,
    "roots": _roots,
    "recipient": _recipient,
    "enrol": _enrol,
    "station request": _station_request,
    "station create": _station_create,
    "station look": _station_look,
    "station join": _station_join,
    "export": _export,
    "records": _records,
    "officers": _officers,
    "backup": _backup,
    "restore": _restore,
}


def answer(asked: bytes) -> bytes:
    """Return the answer to one request of `sealed_work`, or the failure. Raises nothing."""
    try:
        told = json.loads(asked)
        by = told["opener"]
        identity = None if by["identity"] is None else Path(by["identity"])
        opener = Opener(by["passphrase"], identity)
        done = WORKS[told["work"]](Path(told["folder"]), opener, told["wanted"])
    except Exception as problem:  # noqa: BLE001 - whoever asked has to be told
        return json.dumps({"failed": failure(problem)}).encode("ascii") + b"\n"
    return json.dumps({"values": done.values}).encode("ascii") + b"\n" + done.raw


def main() -> None:
    """Answer what stands on standard input, in a process that was started for it."""
    secret_process.harden()
    secret_process.end_with(int(sys.argv[1]))
    said = answer(sys.stdin.buffer.read())
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()
    os._exit(0)  # at once: nothing is left to be done, and the secrets are


if __name__ == "__main__":
    main()

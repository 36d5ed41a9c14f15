"""`fanal log`: what was done to the registry, and proof that nothing of it was altered."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console, log_rows, log_tail
from fanal.cli.out_file import OutFile

if TYPE_CHECKING:
    from fanal.registry import Registry

_KEPT = click.Path(path_type=Path, dir_okay=False, exists=True)

_EXAMPLES = """\b
Examples:
  fanal log verify
  fanal log checkpoint --out for-the-lawyer.checkpoint
  fanal log prove 17 --out entry-17.tlog-proof
"""


@click.group(epilog=_EXAMPLES)
def log_group() -> None:
    """Check the log of the registry, sign for it, prove one of its entries."""


@log_group.command(
    "verify",
    epilog="""\b
Examples:
  fanal log verify
  fanal log verify --checkpoint from-the-lawyer.checkpoint

Exit codes: 0 nothing was altered, 4 something was, and each finding says what and where.
""",
)
@click.option(
    "--checkpoint", "files", type=_KEPT, multiple=True, metavar="FILE",
    help="A checkpoint that somebody else kept; may be given more than once.",
)  # fmt: skip
@console.json_option
@console.pass_session
def verify_command(session: console.Session, files: tuple[Path, ...], as_json: bool) -> None:
    """Check that log and registry are as they were written.

    Everything is computed anew from the entries. An end that was cut off, and an older copy of the
    whole file, are seen only by a checkpoint kept elsewhere: the newest one that this computer
    signed is looked up, and those of --checkpoint.
    """
    from fanal import anchor
    from fanal.log_verify import verify

    folder = anchor.default_folder()
    with _registry(session) as registry:
        notes = [anchor.read(path) for path in files]
        found = verify(registry, notes, lambda origin: anchor.of_log(folder, origin))
    log_rows.tell_verified(found, "registry", as_json)


@log_group.command(
    "checkpoint",
    epilog="""\b
Examples:
  fanal log checkpoint
  fanal log checkpoint --out for-the-lawyer.checkpoint
""",
)
@click.option("--out", type=OutFile(), metavar="FILE", help="Write it to a file too, to hand out.")
@click.option("--restored", "is_restored", is_flag=True,
              help="The registry comes from a backup, and newer entries may be gone.")  # fmt: skip
@console.unlock_options
@console.json_option
@console.pass_session
def checkpoint_command(
    session: console.Session,
    out: Path | None,
    is_restored: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Sign for the log as it is now.

    The newest checkpoint is kept outside of the registry's folder. Hand one to somebody whom you do
    not have to trust, now and then: with it they can tell whether anything was altered since. It
    names the fleet and the station, and no beacon, place or person.
    """
    from fanal import anchor, unlocking
    from fanal.log_checkpoint import checkpoint

    with _registry(session) as registry:
        opener = console.read_opener(session, passphrase_file)
        with console.steps() as on_step:
            on_step("Opening the keyring")
            station = unlocking.station(session.fleet_dir, opener)
        signed = checkpoint(registry, station, anchor.default_folder(), is_restored=is_restored)
    log_rows.tell_signed(signed, out, "fanal log", as_json)


@log_group.command(
    "prove",
    short_help="Write one entry with its proof.",
    epilog="""\b
Examples:
  fanal log list
  fanal log prove 17 --out entry-17.tlog-proof
""",
)
@click.argument("entry", type=int)
@click.option("--out", type=OutFile(), required=True, metavar="FILE",
              help="Where to write the proof.")  # fmt: skip
@click.option("--log", default="", metavar="ORIGIN", help="The log of a station that was merged.")
@console.json_option
@console.pass_session
def prove_command(session: console.Session, entry: int, out: Path, log: str, as_json: bool) -> None:
    """Write entry number ENTRY with its proof, to be checked without Fanal (docs/log.md).

    Beside FILE, FILE.pem gets the certificates of the station and of the fleet. The file says what
    the entry says, a place too if it does, and nothing of any other entry.
    """
    from fanal.log_proof import prove

    with _registry(session) as registry:
        proof = prove(registry, entry, log)
    log_rows.tell_proof(proof, out, as_json)


@log_group.command(
    "list",
    short_help="Show the entries of the log, oldest first.",
    epilog="""\b
Examples:
  fanal log list
  fanal log list --from 100 --json
""",
)
@click.option("--from", "start", type=click.IntRange(min=0), default=0, metavar="N",
              help="Begin with entry N.")  # fmt: skip
@click.option("--log", default="", metavar="ORIGIN", help="The log of a station that was merged.")
@console.json_option
@console.pass_session
def list_command(session: console.Session, start: int, log: str, as_json: bool) -> None:
    """Show the entries of the log, oldest first, in this computer's time."""
    from fanal import log_entry
    from fanal.log_proof import no_log

    with _registry(session) as registry:
        if log not in registry.logs():
            raise no_log(log)
        entries = [(leaf.number, log_entry.decode(leaf.content))
                   for leaf in registry.leaves(start, None, log)]  # fmt: skip
    log_rows.tell_entries(entries, as_json)


@log_group.command(
    "timestamp",
    short_help="Have an authority say when a checkpoint was there.",
    epilog="""\b
Examples:
  fanal log timestamp --tsa http://tsa.example/tsr --root tsa-root.pem
""",
)
@click.option("--tsa", required=True, metavar="URL", help="The timestamp authority (RFC 3161).")
@click.option("--root", type=_KEPT, metavar="FILE",
              help="Its root certificate, PEM: the answer is checked against it.")  # fmt: skip
@click.option("--out", type=OutFile(), metavar="FILE", help="Write the answer to a file too.")
@console.json_option
@console.pass_session
def timestamp_command(
    session: console.Session, tsa: str, root: Path | None, out: Path | None, as_json: bool
) -> None:
    """Have an authority say when the newest checkpoint was there at the latest.

    It gets a hash and nothing else. This is the one command of `fanal log` that needs the network.
    """
    from fanal.log_timestamp import timestamp
    from fanal.private_file import write_private

    with _registry(session) as registry:
        stamped = timestamp(registry, tsa, None if root is None else root.read_bytes())
        log_tail.say(registry, is_changed=True)  # that there is a timestamp is an entry
    if out is not None:
        write_private(out, stamped.stamp.token)
    if as_json:
        told = {"origin": stamped.stamp.origin, "size": stamped.stamp.size, "at": stamped.at}
        console.print_json({"ok": True, **told, "checked": stamped.is_checked})
        return
    click.echo(f"{console.mark('ok')}  {stamped.stamp.size} entries, at {stamped.at}")
    if not stamped.is_checked:
        console.note("Nobody checked who the authority is: give its root certificate by --root.")


def _registry(session: console.Session) -> "Registry":
    from fanal.registry import REGISTRY_FILE, Registry

    return Registry(session.fleet_dir / REGISTRY_FILE)

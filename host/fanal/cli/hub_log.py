"""`fanal hub log`: what was done about alerts at a hub, and proof that nothing was altered."""

from pathlib import Path

import click

from fanal.cli import console, log_rows
from fanal.cli.hub_folder import hub_option, open_store
from fanal.cli.out_file import OutFile

_KEPT = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(
    "log",
    epilog="""\b
Examples:
  fanal hub log list
  fanal hub log verify
  fanal hub log checkpoint --out for-the-lawyer.checkpoint
  fanal hub log prove 17 --out entry-17.tlog-proof
""",
)
def hub_log_group() -> None:
    """Check the hub's own log, sign for it, prove one of its entries."""


@hub_log_group.command(
    "list",
    epilog="""\b
Examples:
  fanal hub log list
  fanal hub log list --from 100 --json
""",
)
@click.option("--from", "start", type=click.IntRange(min=0), default=0, metavar="N",
              help="Begin with entry N.")  # fmt: skip
@hub_option
@console.json_option
def list_command(start: int, hub: Path, as_json: bool) -> None:
    """Show the entries of the log, oldest first.

    Times are this computer's.
    """
    from fanal import log_entry
    from fanal.hub import hub_log

    with open_store(hub) as store:
        entries = [(leaf.number, log_entry.decode(leaf.content))
                   for leaf in hub_log.leaves(store, start)]  # fmt: skip
    log_rows.tell_entries(entries, as_json)


@hub_log_group.command(
    "verify",
    epilog="""\b
Examples:
  fanal hub log verify
  fanal hub log verify --checkpoint from-the-lawyer.checkpoint

Exit codes: 0 as it was written, 4 something was altered.
""",
)
@click.option(
    "--checkpoint", "files", type=_KEPT, multiple=True, metavar="FILE",
    help="A checkpoint that somebody else kept; may be given more than once.",
)  # fmt: skip
@hub_option
@console.json_option
def verify_command(files: tuple[Path, ...], hub: Path, as_json: bool) -> None:
    """Check that nothing was altered.

    The log, incidents, their timelines, accounts, listeners and sites are looked at. No passphrase
    is needed, and the hub may run. Everything is computed anew from the entries. An end that was
    cut off, and an older copy of the whole database, are seen only by a checkpoint kept elsewhere:
    the newest one that this computer signed is looked up, and those of --checkpoint.
    """
    from fanal import anchor
    from fanal.hub import keys
    from fanal.hub.hub_log_verify import verify

    with open_store(hub) as store:
        notes = [anchor.read(path) for path in files]
        found = verify(store, keys.request_of(hub).log_key, notes)
    log_rows.tell_verified(found, "hub", as_json)


@hub_log_group.command(
    "checkpoint",
    epilog="""\b
Examples:
  fanal hub log checkpoint
  fanal hub log checkpoint --out for-the-lawyer.checkpoint
  fanal hub log checkpoint --restored      the database is a copy of before
""",
)
@click.option("--out", type=OutFile(), metavar="FILE", help="Write it to a file too, to hand out.")
@click.option("--restored", is_flag=True,
              help="Go on from a backup: what is lost is lost, and the log says so.")  # fmt: skip
@hub_option
@console.passphrase_option
@console.json_option
def checkpoint_command(
    out: Path | None, restored: bool, hub: Path, passphrase_file: Path | None, as_json: bool
) -> None:
    """Sign for the log as it is now.

    A hub that runs does so by itself, at most once a minute. The newest checkpoint is kept outside
    of the hub's folder. Hand one to somebody whom you do not have to trust, now and then: with it
    they can tell whether anything was altered since. It names fleet and hub by numbers, and no
    beacon, place or person.
    """
    from fanal.hub import keys
    from fanal.hub.hub_log_checkpoint import checkpoint

    with open_store(hub) as store:
        passphrase = console.read_passphrase(passphrase_file, whose="hub")
        with console.steps() as on_step:
            on_step("Opening the hub's keys")
            held = keys.unlock(hub, passphrase)
        signed = checkpoint(store, held.log_key, is_restored=restored)
    log_rows.tell_signed(signed, out, "fanal hub log", as_json)


@hub_log_group.command(
    "prove",
    epilog="""\b
Examples:
  fanal hub log list
  fanal hub log prove 17 --out entry-17.tlog-proof
""",
)
@click.argument("entry", type=int)
@click.option("--out", type=OutFile(), required=True, metavar="FILE",
              help="Where to write the proof.")  # fmt: skip
@hub_option
@console.json_option
def prove_command(entry: int, out: Path, hub: Path, as_json: bool) -> None:
    """Write entry number ENTRY with its proof.

    It is checked without Fanal, as docs/log.md says. Beside FILE, FILE.pem gets the certificates of
    the hub's log key and of the fleet. The file says what the entry says, beacon and names too if
    it does, and nothing of any other entry.
    """
    from fanal.hub.hub_log_proof import prove

    with open_store(hub) as store:
        proof = prove(store, entry)
    log_rows.tell_proof(proof, out, as_json)

"""`fanal fleet backup` and `fanal fleet restore`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.cli import console
from fanal.cli.out_file import OutFile
from fanal.error import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from fanal.backup_file import Lock

_NOT_HARDENED = (
    "The words are made by shamir-mnemonic, the reference implementation of SLIP-39, which is not"
    " hardened against whoever can measure or read this computer while it works. Use a computer"
    " that you trust, offline if you can."
)
_HEAD_BYTES = 5000
_A_ROW = 5  # words in 80 columns


@click.command(
    "backup",
    short_help="Put the whole fleet into one encrypted file.",
    epilog="""\b
Examples:
  fanal fleet backup --out n.backup                  under its own passphrase
  fanal fleet backup --out n.backup --shares 3/5     any three of five
  fanal fleet backup --out n.backup --shares 2/3 --words-file words.txt

Exit codes: 0 fine, 1 the officer's keys are not here, 2 the file is there already, or no terminal
to show words on, 4 wrong passphrase.
""",
)
@click.option("--out", required=True, type=OutFile(),
              help="The file to write. It may lie anywhere: it is sealed.")  # fmt: skip
@click.option("--shares", "shares_text", metavar="K/N",
              help="No passphrase, but words for N people, K of whom are needed.")  # fmt: skip
@click.option("--words-file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the words there, in clear, instead of on the terminal.")  # fmt: skip
@click.option("--backup-passphrase-file", type=click.Path(path_type=Path, dir_okay=False),
              help="The backup's new passphrase; or set FANAL_BACKUP_PASSPHRASE.")  # fmt: skip
@console.unlock_options
@console.json_option
@console.pass_session
def backup_command(
    session: console.Session,
    out: Path,
    shares_text: str | None,
    words_file: Path | None,
    backup_passphrase_file: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Put the whole fleet into one encrypted file: its keys, its station 0, its registry.

    The file and what opens it belong in different places. Officers' keys are not in it.
    """
    from fanal import backup, beside, keyring, sealed_work, shares

    keyring.require_officer(session.fleet_dir)
    plan = None if shares_text is None else shares.plan(shares_text)
    beside.clear(out)
    backup.require_new(out)
    _require_place_for_words(plan, words_file, backup_passphrase_file, as_json)
    opener = console.read_opener(session, passphrase_file)
    passphrase = None
    if plan is None:
        passphrase = console.read_passphrase(backup_passphrase_file, is_new=True, whose="backup")
        keyring.check_passphrase(passphrase)
    else:
        console.note(f"{console.mark('warn', sys.stderr)}  {_NOT_HARDENED}")
    with beside.new_folder(out.absolute()) as place:
        with console.steps() as on_step:
            on_step("Making the backup, and opening it again")
            made = sealed_work.run("backup", session.fleet_dir, opener, out=place / out.name,
                                   plan=plan, passphrase=passphrase).values  # fmt: skip
        if plan is not None:
            _hand_out(made["shares"], plan, words_file, out)
        backup.finish(Path(made["beside"]), out)
    told = {name: made[name] for name in ("fleet", "beacons")}
    if as_json:
        console.print_json({"ok": True, "out": out, **told, "shares": plan,
                            "words_file": words_file})  # fmt: skip
        return
    click.echo(f"{console.mark('ok')}  {out}: {told['fleet']}, {console.beacons(told['beacons'])}")
    console.note("Try it before you need it: `fanal --fleet NEW-FOLDER fleet restore FILE`, and"
                 " throw that folder away.")  # fmt: skip


@click.command(
    "restore",
    short_help="Restore a fleet from a backup, into a new folder.",
    epilog="""\b
Examples:
  fanal --fleet ~/north fleet restore n.backup
  fanal --fleet ~/north fleet restore n.backup --shares
  fanal --fleet ~/north fleet restore n.backup --words-file words.txt

Exit codes: 0 fine, 2 the folder is not empty, 4 wrong passphrase or words, a damaged file, or keys
that do not fit its beacons: nothing is left behind then.
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--shares", "by_shares", is_flag=True, help="Ask for the words of the shares.")
@click.option("--words-file", type=click.Path(path_type=Path, dir_okay=False),
              help="Read them from a file, one share on each line.")  # fmt: skip
@click.option("--backup-passphrase-file", type=click.Path(path_type=Path, dir_okay=False),
              help="The backup's passphrase; or set FANAL_BACKUP_PASSPHRASE.")  # fmt: skip
@console.passphrase_option
@console.json_option
@console.pass_session
def restore_command(
    session: console.Session,
    file: Path,
    by_shares: bool,
    words_file: Path | None,
    backup_passphrase_file: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Restore a fleet from FILE into a new folder, under a new passphrase (--passphrase-file).

    It is proven: keys of known beacons are derived again and compared. What beacons said since
    the backup is not in it, so what they say is marked as a possible replay until each shows an
    event that is newer than any known.
    """
    from fanal import fleet, keyring, sealed_work
    from fanal.high_water import default_folder

    fleet.require_free(session.fleet_dir)
    lock = _lock(file)
    words, passphrase = None, None
    if lock.is_shared:
        if not by_shares and words_file is None:
            raise UsageError(
                f"{file} opens by shares: {lock.threshold} of {lock.count} are needed.",
                "Add --shares, or --words-file FILE.",
            )
        console.note(f"{console.mark('warn', sys.stderr)}  {_NOT_HARDENED}")
        words = _words_in(words_file) if words_file is not None else _asked_for(lock.threshold)
    elif by_shares or words_file is not None:
        raise UsageError(
            f"{file} opens by a passphrase, not by shares.", "Leave --shares and --words-file out."
        )
    else:
        passphrase = console.read_passphrase(backup_passphrase_file, whose="backup")
    new = console.read_passphrase(passphrase_file, is_new=True)
    keyring.check_passphrase(new)
    with console.steps() as on_step:
        on_step("Restoring, and proving it")
        done = sealed_work.run(
            "restore", session.fleet_dir, sealed_work.Opener(new), file=file.absolute(),
            passphrase=passphrase, words=words, state=default_folder(),
        ).values  # fmt: skip
    _say_restored(done, as_json)


def _say_restored(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.print_json({"ok": True, **done})
        return
    from fanal import beacon_name

    made = datetime.fromtimestamp(done["made_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    click.echo(f"{console.mark('ok')}  Restored {done['fleet']} in {done['folder']}:"
               f" {console.beacons(done['beacons'])}, as of {made};"
               f" epoch {done['epoch']}")  # fmt: skip
    proven = [beacon_name.shown(beacon_id) for beacon_id in done["proven"]]
    if proven:
        click.echo(f"    Proven by the first keys of {', '.join(proven)}")
    else:
        click.echo("    Proven by the certificates alone: there is no beacon in it yet")
    warning = console.mark("warn", sys.stderr)
    console.note(
        f"{warning}  Not in it: what was heard, changed or revoked since then. Revoke again what"
        " was revoked, and merge what stations have."
    )
    console.note(
        f"{warning}  No hub knows of it yet. For each: `fanal hub enrol --to LINE --out FILE` here"
        " (or --here), and `fanal hub accept FILE` there; the line is in request.txt of its folder."
        " Then it marks what may be a replay, and nothing that it knows moves back."
    )
    if done["unsigned"]:
        console.note(f"{warning}  {done['unsigned']}")
    console.note("Officers open it again after `fanal fleet officers add`.")


def _require_place_for_words(
    plan: tuple[int, int] | None, words_file: Path | None, by_file: Path | None, as_json: bool
) -> None:
    """Raise UsageError unless words will come before eyes, and into no log or pipe."""
    if plan is None:
        if words_file is not None:
            raise UsageError("--words-file goes with --shares K/N.")
        return
    if by_file is not None:
        raise UsageError("A backup opens by a passphrase or by shares, not by both.")
    if words_file is not None:
        if words_file.exists():
            raise UsageError(f"{words_file} is there already.", "Choose another name.")
    elif as_json or not sys.stdout.isatty():
        raise UsageError(
            "The words of shares are shown on a terminal, and this is none.",
            "Run it in a terminal, or write them to --words-file FILE, in clear.",
            code="no_terminal",
        )


def _hand_out(words: list[str], plan: tuple[int, int], words_file: Path | None, out: Path) -> None:
    if words_file is not None:
        from fanal.private_file import write_new

        write_new(words_file, "".join(f"{share}\n" for share in words).encode("ascii"))
        console.note(f"{console.mark('warn', sys.stderr)}  {words_file} holds the words in clear:"
                     " whoever has it and the backup has the fleet.")  # fmt: skip
        return
    for number, share in enumerate(words, 1):
        click.echo(f"\nShare {number} of {plan[1]}, any {plan[0]} of which open {out.name}:\n")
        listed = share.split()
        for at in range(0, len(listed), _A_ROW):
            row = [f"{at + i + 1:3} {word:<10}" for i, word in enumerate(listed[at : at + _A_ROW])]
            click.echo(" ".join(row).rstrip())
    console.note("\nWrite each on paper of its own, read it back, give it to one person, and clear"
                 " this terminal. They are not shown again.")  # fmt: skip
    click.confirm("Are all of them on paper?", abort=True, err=True)


def _lock(file: Path) -> "Lock":
    from fanal.backup_file import lock_of

    try:
        with file.open("rb") as source:
            return lock_of(source.read(_HEAD_BYTES))
    except OSError as problem:
        raise EnvironmentFault(
            f"{file} cannot be read: {problem.strerror}.", "Name the backup's file."
        ) from None


def _words_in(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not text"
        raise EnvironmentFault(
            f"The file of words {path} cannot be read: {reason}.", "One share on each line."
        ) from None
    return [line for line in lines if line.strip()]


def _asked_for(threshold: int) -> list[str]:
    """Ask for shares until there are enough; each is checked as it comes."""
    from fanal import secret_process, shares
    from fanal.error import IntegrityError

    secret_process.harden()
    if not sys.stdin.isatty():
        raise UsageError("Words are typed at a terminal, and this is none.", "Use --words-file.")
    found: dict[int, str] = {}
    while len(found) < threshold:
        number = len(found) + 1
        words = click.prompt(f"Words of share {number} of {threshold}", err=True)
        try:
            share = shares.check(number, words)
        except IntegrityError as problem:
            console.print_error(problem)
            continue
        if share.index in found:
            console.note("That share is here already.")
        found[share.index] = words
    return list(found.values())

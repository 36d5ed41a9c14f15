"""How a log is shown, whether a registry's or a hub's: what verifying found, entries, a proof."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.cli import console
from fanal.error import IntegrityError

if TYPE_CHECKING:
    from fanal.log_checkpoint import Signed
    from fanal.log_proof import Proof
    from fanal.log_record import Verified

_DIGEST = re.compile(r"(SHA-256 [0-9a-f]{9})[0-9a-f]{55}")


def tell_verified(found: "Verified", what: str, as_json: bool) -> None:
    """Say what verifying found, and end with exit code 4 if that is anything.

    what: has the log, "registry" or "hub".
    """
    if as_json:
        console.print_json({"ok": not found.findings, **asdict(found)})
    else:
        _show(found, what)
    if found.findings:
        click.get_current_context().exit(IntegrityError.exit_code)


def _show(found: "Verified", what: str) -> None:
    for finding in found.findings:
        whose = f" [{finding.log}]" if finding.log else ""
        click.echo(f"{console.mark('fail')}  {finding.sentence}{whose}")
    if not found.findings:
        own = found.logs[0]
        count = len(found.logs) - 1
        others = f", and the logs of {count} other station(s)" if count else ""
        click.echo(f"{console.mark('ok')}  {own.size} entries{others}: nothing was altered.")
    for remark in found.remarks:
        click.echo(f"{console.mark('warn')}  {remark}")
    if not found.anchors and found.logs:
        click.echo(
            f"{console.mark('warn')}  There is no checkpoint outside of the {what}: whether its"
            " end was cut off cannot be seen."
        )


def tell_signed(signed: "Signed", out: Path | None, command: str, as_json: bool) -> None:
    """Write a checkpoint to `out` too, and say what was signed. command: has it, "fanal log"."""
    from fanal.private_file import write_private

    if out is not None:
        write_private(out, signed.note.encode())
    if as_json:
        console.print_json({"ok": True, **asdict(signed)})
        return
    what = "Signed for" if signed.changed else "Signed before for"
    click.echo(f"{console.mark('ok')}  {what} {signed.size} entries of {signed.origin}")
    if out is None:
        console.note(f"To hand it to somebody: {command} checkpoint --out FILE")


def tell_proof(proof: "Proof", out: Path, as_json: bool) -> None:
    """Write a proof, and the certificates beside it, and say where."""
    from fanal.private_file import write_private

    chain = out.with_name(f"{out.name}.pem")
    write_private(out, proof.text.encode())
    write_private(chain, proof.chain.encode())
    if as_json:
        told = {"entry": proof.entry, "size": proof.size, "file": str(out), "chain": str(chain)}
        console.print_json({"ok": True, **told, "content": proof.content.decode()})
        return
    click.echo(f"{console.mark('ok')}  Entry {proof.entry} and its proof: {out}")
    click.echo(proof.content.decode())


def tell_entries(entries: list[tuple[int, dict[str, Any]]], as_json: bool) -> None:
    """Show entries, each with its number, in this computer's time; a SHA-256 by its beginning."""
    if as_json:
        told = [{"entry": number, **fields} for number, fields in entries]
        console.print_json({"ok": True, "entries": told})
        return
    from rich.table import Table
    from rich.text import Text

    from fanal.cli.history import local_time

    has_who = any("who" in fields for _, fields in entries)
    table = Table(box=None, pad_edge=False)
    for heading in ("Entry", "When", "What", "Whose", *(["Who"] if has_who else []), "Detail"):
        table.add_column(heading, no_wrap=heading in ("Entry", "When"), overflow="fold")
    for number, fields in entries:
        who = [fields.get("who", "")] if has_who else []
        detail = _DIGEST.sub(r"\1…", fields.get("detail", ""))
        row = (fields["what"], _whose(fields), *who, detail)
        table.add_row(str(number), local_time(fields["at_ms"]), *(Text(_text(one)) for one in row))
    console.out().print(table)


def _whose(fields: dict[str, Any]) -> str:
    """Return what an entry is about: a beacon, a station, an incident with its kind, a user."""
    from fanal.beacon_name import shown

    if "station" in fields:
        return f"station {fields['station']}"
    if "incident" in fields:
        return f"incident {fields['incident']} {fields.get('kind', '')}".rstrip()
    if "beacon" in fields:
        return shown(fields["beacon"])
    if "listener" in fields:
        return f"listener {str(fields['listener'])[:8]}"
    return next((f"{kind} {fields[kind]}" for kind in ("account", "site") if kind in fields),
                "")  # fmt: skip


def _text(value: Any) -> str:
    from fanal.printable import printable

    return printable(str(value))

"""`fanal decode`: what every byte of a packet says."""

import click

from fanal.cli.console import json_option, mark, out, print_json
from fanal.decode import Explanation, decode
from fanal.error import IntegrityError
from fanal.field import Field

_BYTES_PER_LINE = 8


@click.command("decode", epilog="""\b
Examples:
  fanal decode 206872ed8c9de1b01200b7a6266d47d8fb43b3572f7cbe
  fanal decode 20 68 72 ED 8C 9D E1 B0 12 00 B7 A6 26 6D 47 D8 \\
      FB 43 B3 57 2F 7C BE
  fanal decode --json 0x2800507171

Exit code: 0 well formed, 4 refused (the last line says why), 2 not hexadecimal.
""")  # fmt: skip
@json_option
@click.argument("hex_text", metavar="HEX...", nargs=-1, required=True)
def decode_command(hex_text: tuple[str, ...], as_json: bool) -> None:
    """Explain a packet field by field, valid or not.

    HEX is whole advertising data or only the service data of Fanal's UUID, as sniffers and
    scanners print it: spaces, colons and 0x do not matter. No key and no fleet are needed.
    """
    explanation = decode(" ".join(hex_text))
    if as_json:
        print_json(_as_object(explanation))
    else:
        _print_table(explanation)
    if explanation.reason:
        click.get_current_context().exit(IntegrityError.exit_code)


def _as_object(explanation: Explanation) -> dict[str, object]:
    return {
        "ok": not explanation.reason,
        "form": explanation.form,
        "frame": explanation.frame or None,
        "reason": explanation.reason or None,
        "verdict": explanation.verdict,
        "fields": [
            {
                "offset": field.offset,
                "length": len(field.data),
                "hex": field.data.hex(),
                "name": field.name,
                "meaning": field.meaning,
                "wrong": field.is_wrong,
            }
            for field in explanation.fields
        ],
    }


def _print_table(explanation: Explanation) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("offset", justify="right", no_wrap=True)
    table.add_column("bytes", no_wrap=True)
    table.add_column("field", no_wrap=True)
    table.add_column("meaning")
    for field in explanation.fields:
        meaning = f"WRONG: {field.meaning}" if field.is_wrong else field.meaning
        style = "bold red" if field.is_wrong else None
        table.add_row(str(field.offset), _hex_lines(field), field.name, meaning, style=style)
    out().print(table)
    click.echo(f"{mark('fail' if explanation.reason else 'ok')}  {explanation.verdict}")


def _hex_lines(field: Field) -> str:
    step = _BYTES_PER_LINE
    lines = [field.data[at : at + step].hex(" ") for at in range(0, len(field.data), step)]
    return "\n".join(lines)

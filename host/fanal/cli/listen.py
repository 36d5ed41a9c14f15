"""`fanal listen`: hear beacons, and name what is heard."""

from pathlib import Path

import click

from fanal.cli import console, ears
from fanal.error import UsageError


@click.command(
    epilog="""\b
Examples:
  fanal listen                   by this computer's Bluetooth, until Ctrl-C
  fanal listen --air 127.0.0.1:7100  on the air of `fanal sim start`
  fanal listen --until signature --seconds 60 --json

Exit codes: 0 fine (Ctrl-C is how it ends without --seconds and --until), 1 what --until waits
for did not come in time, 4 wrong passphrase, 7 no radio or deaf at the end, 130 interrupted
while --until or --seconds still waited.
""",
)
@click.option("--air", metavar="HOST:PORT", help="Listen to a virtual air, not to Bluetooth.")
@ears.adapter_option
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after a while.")
@click.option(
    "--until", type=click.Choice(["alert", "signature"]),
    help="Stop at the first verified alert (of any kind, no replay), or the first signature.",
)  # fmt: skip
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object for each event.")
@console.passphrase_option
@console.json_option
@console.pass_session
@click.pass_context
def listen_command(
    ctx: click.Context,
    session: console.Session,
    air: str | None,
    adapter: str | None,
    seconds: float | None,
    until: str | None,
    as_jsonl: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Hear the beacons of this fleet, and say who was squeezed, where and when.

    Everything that is heard has a name: an alert, a drill, a test, a replay, an unknown. It
    also says when it is deaf.
    """
    from fanal.cli.sitting import Show, Sitting
    from fanal.keyring import Keyring
    from fanal.registry import REGISTRY_FILE, Registry

    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl exclude each other.", "Use one of them.")
    radio = ears.radio(air, adapter)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        passphrase = console.read_passphrase(passphrase_file)
        with console.steps() as on_step:
            on_step("Opening the keyring")
            keyring = Keyring.unlock(session.fleet_dir, passphrase)
            roots = ears.station_roots(keyring, registry.watched())
        show = Show.silent() if as_json else Show.objects() if as_jsonl else Show.lines()
        sitting = Sitting(registry, roots, show, until)
        ended = sitting.run(radio, seconds)
        sitting.summarise()
        if as_json:
            console.print_json(sitting.report())
    ctx.exit(ended)

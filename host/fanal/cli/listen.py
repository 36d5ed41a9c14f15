"""`fanal listen`: hear beacons, and name what is heard."""

from pathlib import Path

import click

from fanal.cli import console, ears, log_tail
from fanal.error import UsageError

GPSD = "127.0.0.1:2947"


@click.command(
    epilog="""\b
Examples:
  fanal listen                   by this computer's Bluetooth, until Ctrl-C
  fanal listen --air 127.0.0.1:7100  on the air of `fanal sim start`
  fanal listen --until signature --seconds 60 --json
  fanal listen --bundle harbour.fanal    as a volunteer: pass on, sealed

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
@click.option(
    "--bundle", "bundle_file", type=click.Path(path_type=Path, dir_okay=False),
    help="As a volunteer: no keys; pass on, sealed, to whom the bundle says.",
)  # fmt: skip
@click.option("--at", metavar="LAT,LON[,M]", help="With --bundle: where this computer is.")
@click.option(
    "--gpsd", metavar="HOST:PORT", is_flag=False, flag_value=GPSD,
    help=f"With --bundle: ask a gpsd where it is ({GPSD}).",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False),
    help="With --bundle: the folder of this listener's key and outbox.",
)  # fmt: skip
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object for each event.")
@console.unlock_options
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
    bundle_file: Path | None,
    at: str | None,
    gpsd: str | None,
    state: Path | None,
    as_jsonl: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Hear the beacons of this fleet, and say who was squeezed, where and when.

    Everything that is heard has a name: an alert, a drill, a test, a replay, an unknown. It
    also says when it is deaf.

    With --bundle it is a volunteer's listener: it needs neither fleet nor passphrase, recognises
    nothing, and passes on what it hears, sealed.
    """
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl exclude each other.", "Use one of them.")
    if bundle_file is not None:
        if until or passphrase_file:
            raise UsageError("--bundle recognises nothing: no --until, no --passphrase-file.")
        ctx.exit(_relay(bundle_file, at, gpsd, state, air, adapter, seconds, as_jsonl, as_json))
    if at or gpsd or state:
        raise UsageError("--at, --gpsd and --state go with --bundle.")
    from fanal import unlocking
    from fanal.certificate import from_der, public_key_of
    from fanal.cli.sitting import Show, Sitting
    from fanal.high_water import HighWater, default_folder
    from fanal.registry import REGISTRY_FILE, Registry

    radio = ears.radio(air, adapter)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        opener = console.read_opener(session, passphrase_file)
        with console.steps() as on_step:
            on_step("Opening the keyring")
            roots = unlocking.station_roots(session.fleet_dir, opener, registry.watched())
        show = Show.silent() if as_json else Show.objects() if as_jsonl else Show.lines()
        fleet_key = public_key_of(from_der(registry.fleet_certificate()))
        kept = HighWater(default_folder(), fleet_key)
        sitting, entries = Sitting(registry, roots, show, until, kept), registry.log_size()
        ended = sitting.run(radio, seconds)
        sitting.summarise()
        log_tail.say(registry, registry.log_size() != entries)
        if as_json:
            console.print_json(sitting.report())
    ctx.exit(ended)


def _relay(
    bundle_file: Path,
    at: str | None,
    gpsd: str | None,
    state: Path | None,
    air: str | None,
    adapter: str | None,
    seconds: float | None,
    as_jsonl: bool,
    as_json: bool,
) -> int:
    """Listen as a volunteer and return the exit code."""
    from fanal import secret_process
    from fanal.cli import relaying
    from fanal.gateway.bundle import read

    secret_process.harden()  # a listener has a key too
    show = relaying.SILENT if as_json else relaying.OBJECTS if as_jsonl else relaying.LINES
    run = relaying.Relaying(
        read(bundle_file), state or relaying.default_state_folder(), relaying.locator(at, gpsd),
        show,
    )  # fmt: skip
    ended = run.run(lambda now_ms: ears.radio(air, adapter, now_ms), seconds)
    if as_json:
        console.print_json(run.report())
    return ended

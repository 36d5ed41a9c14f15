"""`fanal volunteer`: what volunteers are given, and how their computers start to listen."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.cli import console
from fanal.cli.out_file import OutFile
from fanal.error import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from fanal.gateway.bundle import Bundle


@click.group(
    epilog="""\b
Examples:
  fanal volunteer bundle --area Port --relay https://hub.example --out h.fanal
  fanal volunteer show h.fanal
  fanal volunteer unit --bundle h.fanal
"""
)
def volunteer_group() -> None:
    """Make the file that volunteers need, and set up their computers."""


@volunteer_group.command(
    "bundle",
    epilog="""\b
Examples:
  fanal volunteer bundle --area Port --relay https://hub.example --out h.fanal
  fanal volunteer bundle --area Port --relay mqtts://broker.example:8883 \\
      --ca our-ca.pem --out h.fanal

Tell the volunteers the eight letters of the file by telephone, so that they know it is yours.
""",
)
@click.option("--area", metavar="NAME", required=True, help="What the volunteers call their area.")
@click.option(
    "--relay", metavar="URL", required=True,
    help="Where they send: https://HOST of the hub, or mqtts://HOST:PORT of a broker.",
)  # fmt: skip
@click.option(
    "--ca", type=click.Path(path_type=Path, dir_okay=False),
    help="Certificates (PEM) to trust instead of the system's.",
)  # fmt: skip
@click.option("--out", type=OutFile(), required=True, help="The file to write.")
@click.option("--plain", is_flag=True, help="Allow http:// or mqtt:// to another computer.")
@console.unlock_options
@console.json_option
@console.pass_session
def bundle_command(
    session: console.Session,
    area: str,
    relay: str,
    ca: Path | None,
    out: Path,
    plain: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Write the bundle for volunteers.

    It is for those of one area, and holds public keys and an address, and no secret.

    Needs the officer's file of the fleet. What volunteers send is sealed to the fleet in any
    case; TLS on the way keeps others from swallowing it unseen.
    """
    from fanal import unlocking
    from fanal.gateway import bundle

    pem = None if ca is None else _text_of(ca)
    _require_safe(bundle.make(area, _SOMEBODY, relay, pem), plain)
    if out.exists():
        raise UsageError(f"{out} is there already.", "Choose another name with --out FILE.")
    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring")
        recipient = unlocking.recipient(session.fleet_dir, opener)
    made = bundle.make(area, recipient, relay, pem)
    bundle.write(out, made)
    if as_json:
        console.print_json({"ok": True, "path": out, **_as_object(made)})
        return
    click.echo(f"{console.mark('ok')}  {out}: volunteers of {area} send to {made.relay}")
    click.echo(f"    It is theirs if it shows {made.fingerprint}: tell them by telephone.")


@volunteer_group.command(
    "show",
    epilog="""\b
Examples:
  fanal volunteer show h.fanal
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@console.json_option
def show_command(file: Path, as_json: bool) -> None:
    """Show a bundle, and its letters.

    The eight letters are compared with those that the NGO says by telephone.
    """
    from fanal.gateway import bundle

    read = bundle.read(file)
    if as_json:
        console.print_json({"ok": True, "path": file, **_as_object(read)})
        return
    trusted = "the system's certificates" if read.ca_pem is None else "certificates in the bundle"
    rows = {
        "letters": read.fingerprint, "area": read.area, "relay": read.relay,
        "trusts": trusted if read.is_encrypted else "anybody (the way is not encrypted)",
        "seals to": read.recipient, "service UUID": f"0x{read.service_uuid:04X}",
    }  # fmt: skip
    for name, value in rows.items():
        click.echo(f"{name:13} {value}")


@volunteer_group.command(
    "unit",
    epilog="""\b
Examples:
  fanal volunteer unit --bundle /etc/h.fanal
  fanal volunteer unit --bundle /etc/h.fanal --at 35.8989,14.5146 \\
      --out /etc/systemd/system/fanal-listen.service
""",
)
@click.option(
    "--bundle", "bundle_file", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="The bundle, where it will stay.",
)  # fmt: skip
@click.option("--at", metavar="LAT,LON[,M]", help="Where this computer is; it will be in the unit.")
@click.option("--gpsd", metavar="HOST:PORT", help="Ask a gpsd where this computer is.")
@click.option("--adapter", metavar="NAME", help="Which Bluetooth adapter, such as hci0.")
@click.option("--out", type=OutFile(), help="The file to write; else it is shown.")
def unit_command(
    bundle_file: Path, at: str | None, gpsd: str | None, adapter: str | None, out: Path | None
) -> None:
    """Print a systemd unit for a listener.

    By it this computer listens from its start on. It runs as a user of its own that may read
    nothing and do nothing but listen and send.
    """
    from fanal.gateway import bundle
    from fanal.gateway.locate import Gpsd
    from fanal.gateway.unit import Service, unit
    from fanal.position import typed
    from fanal.private_file import write_private

    bundle.read(bundle_file)
    more: list[str] = []
    if at is not None:
        typed(at)
        more += ["--at", at]
    if gpsd is not None:
        Gpsd(gpsd)
        more += ["--gpsd", gpsd]
    if adapter is not None:
        more += ["--adapter", adapter]
    service = Service(Path(sys.executable), bundle_file.absolute(), more)
    text = unit(service)
    if service.is_in_a_home:
        console.note(
            f"{console.mark('warn', sys.stderr)} Fanal is installed in a home folder, where the"
            " service may not be allowed to look; /opt/fanal is a better place."
        )
    if out is None:
        click.echo(text, nl=False)
        return
    if out.exists() and out.read_text() != text:
        raise UsageError(f"{out} is there already and differs.", "Remove it first.")
    write_private(out, text.encode(), 0o666)
    click.echo(f"{console.mark('ok')}  Wrote {out}")
    console.note(f"Next: systemctl daemon-reload && systemctl enable --now {out.name}")


# a public key of nobody, to find fault with all the rest before a passphrase is asked for
_SOMEBODY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def _require_safe(made: "Bundle", plain: bool) -> None:
    if not (made.is_encrypted or made.is_local or plain):
        raise UsageError(
            "The way to this relay is not encrypted: whoever is on it can swallow alerts unseen.",
            "Use https:// or mqtts://, or say --plain for a network of your own.",
        )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not text"
        raise EnvironmentFault(f"{path} cannot be read: {reason}.", "Give a PEM file.") from None


def _as_object(made: "Bundle") -> dict[str, Any]:
    return {
        "letters": made.fingerprint, "area": made.area, "relay": made.relay,
        "recipient": made.recipient, "service_uuid": f"{made.service_uuid:04X}",
        "pinned": made.ca_pem is not None,
    }  # fmt: skip

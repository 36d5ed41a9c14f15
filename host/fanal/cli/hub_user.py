"""`fanal hub user`: who may log in at the page."""

from pathlib import Path

import click

from fanal.cli import console
from fanal.cli.hub_folder import hub_option, open_store
from fanal.error import UsageError

_ROLES = ("viewer", "responder", "officer")

_password_option = click.option(
    "--password-file", type=click.Path(path_type=Path, dir_okay=False),
    help="Read the password from the first line of a file; else it is asked for.",
)  # fmt: skip


@click.group(
    "user",
    epilog="""\b
Examples:
  fanal hub user add duty --role responder
  fanal hub user list
  fanal hub user role duty officer
  fanal hub user password duty
  fanal hub user disable duty
""",
)
def user_group() -> None:
    """Say who may log in.

    A viewer looks, a responder acts, an officer enrols listeners too.
    """


@user_group.command(
    "add",
    epilog="""\b
Examples:
  fanal hub user add duty --role responder
  fanal hub user add duty --role officer --password-file password.txt
""",
)
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), default="responder", show_default=True)
@hub_option
@_password_option
@console.json_option
def add_command(name: str, role: str, hub: Path, password_file: Path | None, as_json: bool) -> None:
    """Let NAME log in."""
    from fanal.hub import accounts

    with open_store(hub) as store:
        accounts.require_new(store, name)  # before anybody types a password
        user = accounts.add(store, name, role, _password(password_file))
    if as_json:
        console.print_json({"ok": True, "name": user.name, "role": user.role})
    else:
        click.echo(f"{console.mark('ok')}  {user.name} may log in as {user.role}")


@user_group.command("list", epilog="\b\nExamples:\n  fanal hub user list --json\n")
@hub_option
@console.json_option
def list_command(hub: Path, as_json: bool) -> None:
    """Show who may log in."""
    from fanal.hub import accounts

    with open_store(hub) as store:
        users = accounts.users(store)
    if as_json:
        rows = [{"name": u.name, "role": u.role, "is_disabled": u.is_disabled,
                 "created_ms": u.created_ms} for u in users]  # fmt: skip
        console.print_json({"ok": True, "users": rows})
        return
    if not users:
        console.note("Nobody yet: `fanal hub user add NAME`.")
    for user in users:
        click.echo(f"{user.name:<24} {user.role:<10}{' disabled' if user.is_disabled else ''}")


@user_group.command("role", epilog="\b\nExamples:\n  fanal hub user role duty officer\n")
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@hub_option
@console.json_option
def role_command(name: str, role: str, hub: Path, as_json: bool) -> None:
    """Give NAME another ROLE, at once, also where NAME is logged in."""
    from fanal.hub import accounts

    with open_store(hub) as store:
        accounts.set_role(store, name, role)
    _done(as_json, name, role, f"is {role} from now on")


@user_group.command("disable", epilog="\b\nExamples:\n  fanal hub user disable duty\n")
@click.argument("name")
@hub_option
@console.json_option
def disable_command(name: str, hub: Path, as_json: bool) -> None:
    """Let NAME in no more, at once. What was done under that name stays recorded."""
    from fanal.hub import accounts

    with open_store(hub) as store:
        accounts.disable(store, name)
    _done(as_json, name, "disabled", "may log in no more")


@user_group.command("enable", epilog="\b\nExamples:\n  fanal hub user enable duty\n")
@click.argument("name")
@hub_option
@console.json_option
def enable_command(name: str, hub: Path, as_json: bool) -> None:
    """Let NAME in again, who was disabled."""
    from fanal.hub import accounts

    with open_store(hub) as store:
        accounts.enable(store, name)
    _done(as_json, name, "enabled", "may log in again")


@user_group.command(
    "password",
    epilog="""\b
Examples:
  fanal hub user password duty
  fanal hub user password duty --password-file password.txt
""",
)
@click.argument("name")
@hub_option
@_password_option
@console.json_option
def password_command(name: str, hub: Path, password_file: Path | None, as_json: bool) -> None:
    """Set another password for NAME, and end that user's sessions."""
    from fanal.hub import accounts

    with open_store(hub) as store:
        accounts.require_known(store, name)  # before anybody types a password
        accounts.set_password(store, name, _password(password_file))
    _done(as_json, name, "changed", "has another password; all sessions ended")


def _password(path: Path | None) -> str:
    """Return a password: from a file, else asked for twice. Never from the command line."""
    if path is not None:
        return console.read_secret_file(path, "password")
    if not console.is_asked_in_person():
        raise UsageError(
            "A password is needed, and there is no terminal to ask for it.",
            "Use --password-file FILE.",
        )
    from fanal.hub.accounts import SHORTEST_PASSWORD

    asked = f"Password ({SHORTEST_PASSWORD} characters or more)"
    return str(
        click.prompt(asked, hide_input=True, confirmation_prompt=True, err=True, value_proc=_long)
    )


def _long(password: str) -> str:
    """Return a typed password, or have it asked for again before it is repeated."""
    from fanal.hub import accounts

    try:
        return accounts.require_password(password)
    except accounts.AccountError as problem:
        raise click.UsageError(problem.sentence) from None


def _done(as_json: bool, name: str, what: str, told: str) -> None:
    if as_json:
        console.print_json({"ok": True, "name": name, "done": what})
    else:
        click.echo(f"{console.mark('ok')}  {name} {told}")

"""`fanal revoke`: a beacon is out of our hands."""

from dataclasses import asdict

import click

from fanal.cli import choice, console, log_tail


@click.command(
    epilog="""\b
Examples:
  fanal revoke K7Q2-9XMD --reason lost
  fanal revoke K7Q29XMD --reason "seized at the border" --yes
""",
)
@click.argument("beacon")
@click.option(
    "--reason", required=True, metavar="TEXT",
    help="Why: lost, stolen, seized, or one line of your own. Responders see it.",
)  # fmt: skip
@choice.yes_option
@console.json_option
@console.pass_session
def revoke_command(
    session: console.Session, beacon: str, reason: str, yes: bool, as_json: bool
) -> None:
    """Trust a beacon no more: it was lost, stolen or seized.

    BEACON is its id, typed, or scanned from a list or a spare label. It is still listened for, and
    its alerts are shown marked REVOKED, never hidden: whoever squeezes it may be the one it was
    made for. `fanal provision`, `fanal verify` and `fanal label` refuse it.

    It cannot be taken back. A beacon that returns does not show whether somebody read its keys:
    `fanal retire` erases them, and `fanal provision` gives the board a new identity.
    """
    from fanal.beacon_lookup import find
    from fanal.beacon_name import shown
    from fanal.reason import require_reason
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.revoke import revoke

    require_reason(reason)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        found = find(registry, beacon)
        if found.revocation is None:
            what = f"This revokes {choice.named(found)} as {reason}. It cannot be taken back."
            choice.ask(what, "Revoke it?", yes)
        done = revoke(registry, found, reason)
        log_tail.say(registry, done.changed)
    if as_json:
        console.print_json({"ok": True, **asdict(done)})
        return
    what = "Revoked" if done.changed else "Already revoked, nothing changed"
    click.echo(f"{console.mark('ok')}  {what}: {shown(done.beacon_id)} ({done.reason})")
    if done.changed:
        console.note("Its alerts are still heard, and shown as REVOKED; at a hub from the next"
                     " `fanal hub enrol` on.")  # fmt: skip

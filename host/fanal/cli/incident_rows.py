"""Incidents as people read them in a terminal of 80 columns. Kinds and states are words."""

import sys
from collections.abc import Sequence
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from fanal.beacon_name import shown
from fanal.cli import console
from fanal.hub.incident_record import Action, Incident, IncidentView
from fanal.printable import printable
from fanal.whereabouts import shown as place_shown

_UNSURE = "MAY BE A REPLAY"
_ROW = "{:>4}  {:<14}  {:<12}  {:<9}  {:<14}  {}"


def print_list(incidents: Sequence[Incident]) -> None:
    """Print two lines for each incident, or that there is none."""
    if not incidents:
        click.echo("No incident.")
        return
    click.echo(_ROW.format("No", "Kind", "State", "Beacon", "Heard", "Received"))
    for one in incidents:
        click.echo(_ROW.format(
            one.id, kind(one), _state(one), shown(one.beacon), _short(one.first_heard_ms),
            _short(one.first_received_ms),
        ))  # fmt: skip
        where = printable(place_shown(one.site, one.place))
        unsure = f"{_UNSURE}  " if one.may_be_replay else ""
        click.echo(console.folded(f"      {unsure}{where}", 6, sys.stdout))


def print_one(found: IncidentView) -> None:
    """Print one incident with its timeline, its listeners and its newest sightings."""
    unsure = f", {_UNSURE}" if found.incident.may_be_replay else ""
    click.echo(f"{kind(found.incident)}{unsure}  incident {found.incident.id}:"
               f" {found.incident.state}")  # fmt: skip
    for name, value in _facts(found.incident):
        click.echo(console.folded(f"  {name + ':':<16} {printable(value)}", 19, sys.stdout))
    _print_timeline(found.timeline)
    click.echo("\nListeners")
    for ear in found.listeners:
        sure = "" if ear.is_confirmed else ", unconfirmed"
        click.echo(f"  {printable(ear.listener_name)}{sure}: {_number(ear.sightings, 'sighting')},"
                   f" now {ear.health}")  # fmt: skip
    click.echo(f"\nSightings, newest first ({len(found.sightings.items)} of"
               f" {found.incident.sightings + found.incident.replays})")  # fmt: skip
    table = _table("Heard", "Received", "Verdict", "RSSI", "Listener")
    for one in found.sightings.items:
        rssi = "-" if one.rssi_dbm is None else f"{one.rssi_dbm} dBm"
        table.add_row(_short(one.heard_ms), _short(one.received_ms), one.verdict, rssi,
                      Text(printable(one.listener_name)))  # fmt: skip
    console.out().print(table)


def kind(one: Incident) -> str:
    """Return the kind in words; that of what only replays say is another one."""
    return f"{one.kind} (replay)" if one.is_replay else one.kind


def _state(one: Incident) -> str:
    return {"open": "OPEN", "acknowledged": "acknowledged"}.get(one.state, one.state)


def _facts(one: Incident) -> list[tuple[str, str]]:
    revoked = "" if one.revoked_reason is None else f"  REVOKED ({one.revoked_reason})"
    earlier = " or earlier" if one.is_resumed else ""
    sure = "an enrolled one among them" if one.is_confirmed else "all UNCONFIRMED"
    low = ", LOW" if one.is_battery_low else ""
    readable = "" if one.is_readable else "  (its status cannot be read)"
    replay = "maybe (the registry was restored); in doubt it is real: act"
    return [
        *([("A replay", replay)] if one.may_be_replay else []),
        ("Beacon", f"{shown(one.beacon)}, event {one.event}, {one.profile}{revoked}{readable}"),
        ("Installed at" if one.profile == "fixed" else "Given out at",
         place_shown(one.site, one.place) or "-"),
        ("Estimate", _estimate(one)),
        ("Squeezed", "-" if one.began_ms is None else f"{_long(one.began_ms)}{earlier}"),
        ("First heard", _long(one.first_heard_ms)),
        ("First received", _long(one.first_received_ms)),
        ("Last heard", _long(one.last_heard_ms)),
        ("Last received", _long(one.last_received_ms)),
        ("Signature", "complete and valid" if one.signature == "signed" else "not complete yet"),
        ("Heard by", f"{_number(one.listeners, 'listener')}, {sure}"),
        ("Battery", f"{one.battery_mv / 1000:.2f} V{low}"),
        ("Phase", "alert" if one.phase == 0 else "track"),
        ("Assigned to", one.assigned_to or "nobody"),
        ("Escalation", f"level {one.escalation}"),
    ]  # fmt: skip


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _estimate(one: Incident) -> str:
    at = one.position
    if at is None:
        return "unknown"
    return f"{at.latitude:.5f}, {at.longitude:.5f}, within {at.accuracy_m:.0f} m ({at.source})"


def _print_timeline(timeline: Sequence[Action]) -> None:
    click.echo("\nTimeline")
    for line in timeline:
        detail = line.detail.split("\n")
        click.echo(f"  {_short(line.at_ms)}  {line.what:<12}  {printable(line.who)}")
        for part in detail if line.detail else ():
            click.echo(f"  {'':<30}{printable(part)}")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "Listener", overflow="fold")
    return table


def _short(at_ms: int) -> str:
    return _local(at_ms).strftime("%m-%d %H:%M:%S")


def _long(at_ms: int) -> str:
    return _local(at_ms).strftime("%Y-%m-%d %H:%M:%S %z")


def _local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000).astimezone()

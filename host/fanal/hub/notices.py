"""What the hub has to tell, put into its outbox in the same transaction as what happened.

A channel is told Alert first, Update after, and Cancel if it should not have been told. What was
not tried yet is replaced by what is newer; what was tried once stays as it is, because the
other side may have it under that id.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import select

from fanal import sighting
from fanal.hub import actions, cap, message, view
from fanal.hub.channel_config import CAP, MAIL, Channel
from fanal.hub.parcel import Parcel
from fanal.hub.tables import CLOSED, DONE, BeaconRow, IncidentRow, ListenerRow, NoticeRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fanal.hub.config import Config
    from fanal.hub.store import Store

INCIDENT, LISTENER = "incident", "listener"
_MOST_REFERENCES = 20


@dataclass(frozen=True)
class Notices:
    """Queues messages. sender, sender_name: of CAP; public_url: of the page."""

    channels: Sequence[Channel]
    now_ms: Callable[[], int]
    public_url: str = ""
    sender: str = "fanal-hub"
    sender_name: str = ""

    @classmethod
    def of(cls, config: "Config", store: "Store") -> Self:
        """Return the notices of a hub as it is configured."""
        return cls(config.channels, store.now_ms, config.public_url, config.sender, config.area)

    def incident_changed(self, session: "Session", row: IncidentRow, why: str) -> None:
        """Queue what follows for every channel that wants it, in the caller's transaction.

        A channel wants the kinds that it names, from its escalation level on; whoever was told
        of an incident is told its end, whatever it becomes. Only replays: nobody is told.
        """
        session.flush()
        for channel in self.channels:
            told = _standing(session, channel.name, row.id)
            if told or self._wants(channel, row):
                self._queue_incident(session, channel, row, why, told)

    def listener_changed(self, session: "Session", row: ListenerRow, what: str) -> None:
        """Queue that a listener fell silent, went deaf, or is back, in the caller's transaction.

        It goes to the channels that want real alerts at once, in JSON or words; CAP has no word
        for it.
        """
        url = f"{self.public_url}/listeners"
        for channel in self.channels:
            if channel.format == CAP or channel.level or sighting.ALERT not in channel.kinds:
                continue
            at_ms = self.now_ms()
            content = message.of_listener(row, view.name_of(row), what, at_ms, url)
            kind = message.ALERT if content["data"]["is_alarm"] else message.UPDATE
            waits = session.scalars(
                _about(channel.name, LISTENER, row.key).where(
                    NoticeRow.tries == 0, NoticeRow.done_ms.is_(None)
                )
            ).first()
            _put(session, channel.name, LISTENER, row.key, kind, waits, at_ms,
                 {"id": uuid.uuid4().hex, "content": content})  # fmt: skip

    def _wants(self, channel: Channel, row: IncidentRow) -> bool:
        is_news = not row.is_replay and row.state != DONE
        return is_news and row.kind in channel.kinds and channel.level <= row.escalation

    def _queue_incident(
        self, session: "Session", channel: Channel, row: IncidentRow, why: str,
        told: list[NoticeRow],
    ) -> None:  # fmt: skip
        closed_as = ""
        if row.state == DONE:
            closed_as = actions.closed_as(actions.last_action(session, row.id, CLOSED))
        kind = message.UPDATE if told else message.ALERT
        if closed_as in cap.CANCELLED_BY:
            kind = message.CANCEL
            if all(one.tries == 0 and one.done_ms is None for one in told):
                for one in told:  # nobody has heard of it
                    session.delete(one)
                return
        waits = told.pop() if told and told[-1].tries == 0 and told[-1].done_ms is None else None
        if waits is not None and kind == message.UPDATE:
            kind = waits.message  # an Alert that nobody had yet stays the first word
        body = self._body(session, channel, row, kind, why, closed_as, told)
        _put(session, channel.name, INCIDENT, str(row.id), kind, waits, self.now_ms(), body)

    def _body(
        self, session: "Session", channel: Channel, row: IncidentRow, kind: str, why: str,
        closed_as: str, earlier: list[NoticeRow],
    ) -> dict[str, Any]:  # fmt: skip
        facts = view.summary(row, session.get_one(BeaconRow, row.beacon))
        at_ms, url, name = self.now_ms(), f"{self.public_url}/incidents/{row.id}", uuid.uuid4().hex
        content = message.of_incident(facts, kind, why, closed_as, at_ms, channel.detail, url)
        if channel.format != CAP:
            return {"id": name, "content": content}
        if len(earlier) > _MOST_REFERENCES:
            earlier = [earlier[0], *earlier[1 - _MOST_REFERENCES :]]
        envelope = cap.Envelope(
            f"fanal-{name}", self.sender, at_ms, kind,
            channel.to if channel.kind == MAIL else (channel.name,),
            tuple((f"fanal-{one.body['id']}", one.body["sent_ms"]) for one in earlier),
            self.sender_name,
        )  # fmt: skip
        line = message.headline(content)
        text = cap.xml(envelope, facts, line, closed_as, channel.detail, url)
        return {"id": name, "content": content, "cap": text}


def parcel(row: NoticeRow) -> Parcel:
    """Return what a channel sends for a row of the outbox."""
    return Parcel(row.body["id"], row.body["sent_ms"], row.body["content"], row.body.get("cap"))


def _about(channel: str, subject: str, reference: str) -> Any:
    """Return the query for all that a channel was or is to be told of something, locked."""
    query = select(NoticeRow).where(
        NoticeRow.channel == channel,
        NoticeRow.subject == subject,
        NoticeRow.reference == reference,
    )
    return query.order_by(NoticeRow.id).with_for_update()


def _standing(session: "Session", channel: str, incident_id: int) -> list[NoticeRow]:
    """Return what a channel was told of an incident since it was last taken back, oldest first."""
    rows = session.scalars(_about(channel, INCIDENT, str(incident_id))).all()
    after = max((n for n, one in enumerate(rows, 1) if one.message == message.CANCEL), default=0)
    return list(rows[after:])


def _put(
    session: "Session", channel: str, subject: str, reference: str, kind: str,
    waits: NoticeRow | None, at_ms: int, body: dict[str, Any],
) -> None:  # fmt: skip
    """Write a notice, in place of one that was not tried yet if there is such a one."""
    body = {**body, "sent_ms": at_ms}
    if waits is None:
        session.add(NoticeRow(
            channel=channel, subject=subject, reference=reference, message=kind, body=body,
            created_ms=at_ms, next_ms=at_ms, tries=0, done_ms=None, failure=None,
        ))  # fmt: skip
    else:
        waits.message, waits.body, waits.next_ms = kind, body, at_ms

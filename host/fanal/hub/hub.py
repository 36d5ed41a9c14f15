"""What a running hub is made of: whoever serves it builds one, and the page and the door use it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanal.envelope import Opener
    from fanal.hub.actions import Changed
    from fanal.hub.config import Config
    from fanal.hub.intake import Intake
    from fanal.hub.keys import HubKeys
    from fanal.hub.store import Store


@dataclass(frozen=True)
class Hub:
    """The parts of one worker. keys, opener, intake: None while nothing was accepted into it.

    changed: what queues the messages that follow from an action, None if nothing leaves the hub.
    """

    store: "Store"
    config: "Config"
    keys: "HubKeys | None" = None
    opener: "Opener | None" = None
    intake: "Intake | None" = None
    changed: "Changed | None" = None

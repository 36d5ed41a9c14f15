"""One whole event of a virtual board on a heap of a given size, and whether it went well.

Provisioned by hand on its serial line, squeezed, signed, asleep between bursts, awake in another
slot and signed there, over, asleep.
"""

import asyncio
from collections import namedtuple

from fanal.board_link import BoardLink
from fanal.sim.chip import ASLEEP
from fanal.sim.clock import run_virtual
from fanal.sim.world import World
from fanal_protocol import advert, ed25519, frame, keys, signature, slot

FIRST_KEY = bytes(range(32))
SETTINGS = '{"alert_s": 10, "event_s": 1000}'
SLOTS = 2
_STATUS = 0x20  # a hold, no drill
_PAGE_KEY = keys.page_key(FIRST_KEY)

# is_well: was every slot signed and is the event over, all in the boots that it should take.
# trouble: the last line on the console if not. heap_stand_ins, heap_free: bytes at the first line
# of boot.py.
Life = namedtuple("Life", "is_well trouble heap_stand_ins heap_free")


def whole_event(heap_budget, image):
    """Return the Life of a board with `heap_budget` bytes beyond what the stand-ins take.

    image: the folder of a firmware image.
    """

    async def live():
        async with World(heap_budget=heap_budget, firmware=image) as world:
            board = world.add_board()
            heard = []
            world.air.tap(lambda sent: heard.append(sent.data))
            try:
                public_key = await provisioned(world, board)
                await _lived(world, board)
                trouble = _faults(board) or _unsigned(heard, public_key)
            except (TimeoutError, _Stopped) as problem:
                trouble = _faults(board) or repr(problem)
            service = board.service
            return Life(not trouble, trouble, service.heap_stand_ins, service.heap_free)

    return run_virtual(live())


class _Stopped(Exception):
    """The board did not even come to be provisioned."""


async def provisioned(world, board):
    """Give a new board its identity and FIRST_KEY; return its public key."""

    def give():
        with BoardLink(board.port) as link:
            made = link.call("create_identity")
            link.call("configure", SETTINGS)
            link.call("provision", FIRST_KEY.hex())
            return bytes.fromhex(made["public_key"])

    with world.at_pace():
        try:
            return await asyncio.to_thread(give)
        except Exception as problem:  # noqa: BLE001  whatever it is, it needed more memory
            raise _Stopped(type(problem).__name__) from None


async def _lived(world, board):
    await world.wait_until(lambda: board.state == ASLEEP, 120)
    board.squeeze("hold")
    await world.run_for(1000 + 120)
    await world.wait_until(lambda: board.state == ASLEEP, 120)


def _unsigned(heard, public_key):
    """Return which slot had no valid signature, "" if all had one."""
    pages = [page for page in map(_page, heard) if page is not None]
    for number in range(SLOTS):
        rid = slot.rid(keys.rid_key(FIRST_KEY), number)
        mine = {
            page.page: page.chunk
            for page in pages
            if signature.check(_PAGE_KEY, rid, page.page, page.chunk) == page.check
        }
        if len(mine) < 12:
            return f"slot {number}: {len(mine)} pages"
        three = {number: mine[number] for number in (0, 5, 11)}
        signed = signature.assemble(three, _PAGE_KEY, rid)
        message = signature.message(1, number, rid, _STATUS)
        if not ed25519.verify(public_key, message, signed):
            return f"slot {number}: the signature is wrong"
    return ""


def _page(data):
    decoded = frame.decode(advert.unwrap(bytes(data)))
    return decoded if isinstance(decoded, frame.SignatureFrame) else None


def _faults(board):
    """Return the last line of a traceback on the console, "" if there is none."""
    lines = [line for line in board.console_text.splitlines() if "Error" in line]
    return lines[-1] if lines else ""

# From the start of the interpreter to the prompt: swap the modules, mount the flash over
# everything of the host, then run boot.py and main.py as the board's firmware does.
import gc
from json import loads
from opcode import HEAP, HELLO, READY

import _bench
import usys
import vfs

_STAND_INS = ("time", "machine", "esp32", "bluetooth", "network", "os")


def _swap_modules():
    standing_in = {}
    for name in _STAND_INS:
        standing_in[name] = __import__(name)
    # a file called sys would not be looked for
    standing_in["sys"] = __import__("_sys")
    for name, module in standing_in.items():
        usys.modules[name] = module
        usys.modules["u" + name] = module


def _mount(is_fresh):
    import esp32

    flash = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")[0]
    vfs.umount("/")
    if is_fresh:
        vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/")


def _run(name, scope):
    """Run a file of the flash as the firmware does; return whether it asked for a soft reset.

    None if it failed: then the firmware runs no other.
    """
    import sys

    try:
        with open(name) as file:
            source = file.read()
    except OSError:
        return False
    except UnicodeError as error:
        sys.print_exception(error)
        return None
    try:
        exec(compile(source, name, "exec"), scope)
    except SystemExit:
        return True
    except BaseException as error:  # noqa: BLE001  as the firmware does: show it, go on to the prompt
        sys.print_exception(error)
        return None
    return False


def boot(scope):
    hello = loads(_bench.call(HELLO, now=0))
    _bench.virtual = hello["virtual"]
    import board

    board.set_up(hello)
    _swap_modules()
    usys.path[:] = ["", ".frozen", "/lib"]
    try:
        _mount(hello["fresh"])
    except OSError:
        print("The filesystem appears to be corrupted.")  # and as on the board there is none
    for name in ("_sys", "board", "_boot", "_bench", "opcode"):
        del usys.modules[name]
    scope.clear()
    scope["__name__"] = "__main__"
    hello = None  # its memory is not the firmware's business
    gc.collect()
    _bench.call(HEAP, gc.mem_alloc(), gc.mem_free())
    try:
        wants_reset = _run("boot.py", scope)
        if wants_reset is False and board.runs_main:
            wants_reset = _run("main.py", scope)
        if wants_reset:
            raise SystemExit
        gc.collect()
    except KeyboardInterrupt:
        pass  # it came between two programs: what follows is the prompt in any case
    while True:
        try:
            _bench.call(READY)
            return
        except KeyboardInterrupt:
            pass

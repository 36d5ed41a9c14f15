# ruff: noqa: E402
import usys

usys.path[:] = [__file__[: __file__.rfind("/")]]
import _boot

_boot.boot(globals())

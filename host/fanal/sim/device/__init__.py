"""MicroPython stand-ins of a virtual board; never imported by CPython."""

"""What the firmware's pure modules take from MicroPython, for CPython."""


def const(value):
    """Return the value: on MicroPython the compiler folds it."""
    return value


def native(function):
    """Return the function: there is no native emitter here."""
    return function


def viper(function):
    """Return the function: there is no viper emitter here."""
    return function


def heap_lock():
    """Do nothing: CPython always allocates."""


def heap_unlock():
    """Do nothing."""

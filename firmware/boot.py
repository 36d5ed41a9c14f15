"""Runs before main.py: whoever interrupts a boot leaves no deaf beacon. See sleep.guard."""

import sys

if sys.platform == "esp32":
    try:
        from machine import WDT

        WDT(timeout=300000)
    except Exception as fault:  # noqa: BLE001  a boot.py that fails would keep main.py from running
        sys.print_exception(fault)

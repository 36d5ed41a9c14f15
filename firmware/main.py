"""Builds the hardware, passes it in, runs the only loop. Ctrl-C hands the beacon to a person."""

import gc
import os
import sys

# A heap that is collected only when it is full ends in small pieces, and a signature needs one
# of 12 KB. One collection per 32 KB lets a whole life do with a third less of it.
_COLLECT_EVERY_BYTES = 32768


def _build(settings, board):
    from beacon import clock, life, radio, sensor, sleep, store

    return life.Hardware(
        clock,
        store.sectors()[0],
        store.rtc_memory(),
        radio.Radio(max(settings.frame_ms, board.adv_least_ms)),
        sensor.Sensor(board, settings.sensor),
        sleep.Sleep(board),
        sensor.Motor(board),
        os.urandom,
    )


def _live(settings, board):
    from beacon import life, sleep

    hardware = _build(settings, board)
    lived = life.Life(hardware, settings, board)
    try:
        lived.run()
    except KeyboardInterrupt:
        lived.pause()
        raise
    finally:
        _hand_over(hardware, sleep)


def _hand_over(hardware, sleep):
    """Whatever ended it, a person or a fault: silent, and never deaf for more than 300 s."""
    while True:
        try:
            hardware.radio.off()
            hardware.motor.off()
            sleep.guard()
            return
        except KeyboardInterrupt:  # Ctrl-C once more
            pass


def main():
    """Live, unless this is a board that the firmware does not know."""
    gc.threshold(_COLLECT_EVERY_BYTES)
    from beacon import this_board

    in_force, _ = this_board.load("settings.json")
    board = this_board.profile(in_force.board)
    if not board.radio:
        return
    try:
        _live(in_force, board)
    except KeyboardInterrupt:
        return
    except Exception as fault:  # noqa: BLE001  a beacon that crashed must get up again
        import time

        import machine

        sys.print_exception(fault)
        time.sleep_ms(10000)  # a technician can attach
        machine.reset()


main()

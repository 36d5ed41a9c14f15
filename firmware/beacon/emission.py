"""One open event on air: its clock, its units, its frames and the radio."""

from fanal_protocol import alert, keys
from micropython import const

from beacon import event, retained, schedule
from beacon.frames import Frames

_NOWHERE = const(-1)


class Emission:
    """Transmits one event. `begin` a new one or `restore` one after a sleep.

    hardware: see life.Hardware. opened: the event.Event. frames: its Frames. chain: c_i, 32
    bytes, for the next crumb.
    """

    def __init__(self, hardware, settings, opened, frames, chain):
        self.event = opened
        self.frames = frames
        # of the detector, carried along in the record
        self.held_over = False
        self.baseline_mv = 0
        self._hardware = hardware
        self._settings = settings
        self._chain = chain
        self._unit = _NOWHERE
        self._sealed = False
        self._on_air = False
        self._choice = schedule.NOTHING
        self._aired_slot = _NOWHERE

    def tick(self, elapsed_ms):
        """Advance by the time that went by; return event.TRANSMIT, LISTEN or END."""
        opened = self.event
        action = opened.at(opened.age_ms + elapsed_ms)
        if action != event.TRANSMIT:
            self.silence()
            return action
        unit = opened.age_ms // event.UNIT_MS
        if unit != self._unit:
            if self._enter(unit) == event.END:
                self.silence()
                return event.END
        self._show(unit)
        return action

    @property
    def wants_signature(self):
        """The slot has no signature yet, and none stands in the way of an alert."""
        if self.frames.signed or self._unit == _NOWHERE:
            return False
        return not self._sealed or self._aired_slot == self.frames.slot

    def sign(self, seed, public_key, random):
        """Make the signature pages of this slot. See frames.Frames.sign."""
        status = alert.status_byte(self.event.activation, self.event.drill)
        self.frames.sign(seed, public_key, status, random)

    def silence(self):
        """Stop transmitting; the next frame will have a new address."""
        if self._on_air or self._unit != _NOWHERE:
            self._hardware.radio.off()
            self._on_air = False
            self._unit = _NOWHERE

    def keep(self, planned_ms=0):
        """Write the record to RTC memory. planned_ms: of the sleep that follows at once."""
        opened, frames = self.event, self.frames
        record = retained.EventRecord(
            opened.n,
            opened.state,
            opened.resumed,
            self.held_over,
            0,
            self.baseline_mv,
            opened.unit,
            opened.age_ms,
            opened.renewed_ms,
            opened.burst_ms,
            planned_ms,
            self._hardware.clock.rtc_ms(),
            frames.rid_key,
            frames.alert_key,
            frames.page_key,
            self._chain,
        )
        self._hardware.memory.write(retained.encode(record))

    def _enter(self, unit):
        """A new unit: reserve and seal it, if nobody did, and change the address with it."""
        opened, frames = self.event, self.frames
        self._hardware.radio.stop()
        self._on_air = False
        self._unit = unit
        number = unit // event.UNITS_PER_SLOT
        if number != frames.slot:
            frames.enter(number)
        self._sealed = opened.reserve()
        if not self._sealed:
            return event.NOTHING
        # Reserved before it is sealed: whatever happens next, this unit is not sealed again.
        self.keep()
        battery_mv = self._hardware.sensor.battery_mv()
        low = 0 < battery_mv < self._settings.battery_low_mv
        status = alert.status_byte(opened.activation, opened.drill, low, opened.resumed)
        battery = alert.battery_byte(battery_mv)
        frames.seal(unit % event.UNITS_PER_SLOT, status, battery, 0, opened.phase)
        return opened.battery(battery_mv)

    def _show(self, unit):
        """Put the frame of this interval on air; the first of a unit from a new address."""
        interval = self.event.age_ms % event.UNIT_MS // self._settings.frame_ms
        choice = schedule.choose(unit, interval, self._sealed, self.frames.signed, 0)
        if choice == schedule.NOTHING or (self._on_air and choice == self._choice):
            return
        data = self.frames.advert(choice)
        radio = self._hardware.radio
        # False: the address did not change, or the radio failed. Silent until the next try.
        self._on_air = radio.show(data) if self._on_air else radio.start(data)
        if not self._on_air:
            return
        self._choice = choice
        if choice == schedule.ALERT:
            self._aired_slot = self.frames.slot


def begin(hardware, settings, n, event_key, state, drill, resumed):
    """Return the Emission of event n, whose key is no longer in the vault. event_key: E_n."""
    frames = Frames(n, keys.rid_key(event_key), keys.alert_key(event_key), keys.page_key(event_key))
    opened = event.Event(n, state, settings, drill, resumed)
    return Emission(hardware, settings, opened, frames, keys.crumb_chain(event_key))


def restore(hardware, settings, record, drill):
    """Return the Emission that an EventRecord continues after a sleep."""
    frames = Frames(record.n, record.rid_key, record.alert_key, record.page_key)
    opened = event.Event(record.n, record.state, settings, drill, bool(record.resumed))
    now_ms = hardware.clock.rtc_ms()
    slept_ms = retained.slept_ms(record.planned_ms, record.clock_ms, now_ms)
    opened.restore(record.age_ms + slept_ms, record.unit, record.renewed_ms, record.burst_ms)
    return Emission(hardware, settings, opened, frames, record.crumb_chain)

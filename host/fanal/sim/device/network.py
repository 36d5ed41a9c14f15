# The little of network that a beacon looks at: no Wi-Fi is in this air.
STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000


class WLAN:
    """A station interface that can be switched on and hears no access point."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    _active = [False, False]

    def __init__(self, interface=STA_IF):
        if interface not in (STA_IF, AP_IF):
            raise OSError(-1, "Wifi Invalid Interface")
        self._interface = interface

    def active(self, is_active=None):
        if is_active is None:
            return WLAN._active[self._interface]
        WLAN._active[self._interface] = bool(is_active)
        return bool(is_active)

    def scan(self):
        if self._interface != STA_IF:
            raise OSError(-1, "Wifi Unknown Error 0x0102")
        if not WLAN._active[STA_IF]:
            raise OSError("STA must be active")
        return []

    def isconnected(self):
        return False

    def status(self, param=None):
        return STAT_IDLE

    def disconnect(self):
        pass

"""What is true of the chips: reset causes, wake reasons, names, wiring, sizes."""

PWRON, HARD, WDT, DEEPSLEEP, SOFT = 1, 2, 3, 4, 5
WAKE_REASONS = {"ext0": 2, "ext1": 3, "timer": 4, "gpio": 7}

RTC_MEMORY = 2048
BOOT_MS = 250  # from power or a wake to the first line of Python

MACHINES = {
    "esp32": "Generic ESP32 module with ESP32",
    "esp32c3": "ESP32C3 module with ESP32C3",
    "esp32s3": "Generic ESP32S3 module with ESP32S3",
    "esp32c6": "ESP32C6 module with ESP32C6",
}

# which pin is wired to what: as the firmware's profiles and the wiring guide have it.
# force: the sensor, an ADC; wake: a digital input on the same node; battery: behind a divider
WIRING = {
    "esp32": {"force": 34, "wake": 33, "battery": 35, "divider": 2},
    "esp32c3": {"force": 3, "wake": 4, "battery": 1, "divider": 2},
    "esp32s3": {"force": 4, "wake": 5, "battery": 6, "divider": 2},
    "esp32c6": {"force": 3, "wake": 4, "battery": 1, "divider": 2},  # no profile: a bare board
}
# those that the firmware has a profile for
WITH_FIRMWARE = ("esp32", "esp32c3", "esp32s3")

# states of a board
OFF = "off"
BOOTING = "booting"
RUNNING = "running"
PROMPT = "at the prompt"
ASLEEP = "deep sleep"
HELD = "held in reset"
ROM = "waiting for download"
BOOT_LOOP = "nothing to boot"

# the heap of the interpreter
HEAP_BUDGET = 256 * 1024
GENEROUS_HEAP = 1 << 20

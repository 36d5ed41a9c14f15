"""What the beacon may take, each with its reason; a test fails beyond what is in bytes.

Time is printed beside these, and judged by nobody: it is that of the machine that ran the test.
"""

KIB = 1024

# A board boots with about 160 KB free and needs some for its radio. Objects of the Unix port are
# twice as large, so 256 KiB there stand for less than that on a board.
LIFE_HEAP_BYTES = 256 * KIB

# What a whole event needs at the least, so that growth is seen long before the budget is gone.
LEAST_HEAP_BYTES = 160 * KIB

# What crosses a slow and doubtful cable for every board at a sitting: about ten seconds at 115200
# baud. The file systems of the boards in the profiles hold it many times over.
INSTALLED_BYTES = 80 * KIB

# One file at a time is read and turned into objects; the table of Ed25519 is the largest.
LARGEST_FILE_BYTES = 16 * KIB

# Once in two seconds a unit begins: the record for RTC memory, its checksum, a new address. It is
# garbage at once; a heap collected every 32 KB is then collected less than once a minute by it.
UNIT_BYTES = 4 * KIB

"""A Bluetooth adapter of the virtual machine: the kernel's /dev/vhci, carried over TCP to an air.

    bridge.py HOST PORT NAME ADDRESS

NAME is how the air calls this listener, ADDRESS its public address in hex. While it runs there is
an adapter; when it ends, the adapter is gone, as if it had been unplugged.
"""

import os
import socket
import struct
import sys
import threading

_COMMAND, _DATA, _EVENT = 1, 2, 4
# packet type -> where its length is, and how it is written
_LENGTH = {_COMMAND: (3, "<B"), _DATA: (3, "<H"), _EVENT: (2, "<B")}
_CREATE_PRIMARY = b"\xff\x00"
_SET_ADDRESS, _SET_NAME = 0xFC01, 0xFC02  # of the virtual air
_MOST = 4096


def packet(line):
    """Return the next HCI packet of a stream, or end."""
    kind = exactly(line, 1)
    at, form = _LENGTH[kind[0]]
    head = kind + exactly(line, at - 1 + struct.calcsize(form))
    return head + exactly(line, struct.unpack_from(form, head, at)[0])


def exactly(line, count):
    """Return that many bytes, or end: the air is gone."""
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def upwards(line, vhci):
    """Carry what the controller says to the kernel, one packet a write."""
    while True:
        os.write(vhci, packet(line))


def main(host, port, name, address):
    """Carry both ways until one of them ends."""
    line = socket.create_connection((host, int(port)))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for opcode, body in (
        (_SET_ADDRESS, bytes.fromhex(address)[::-1]),
        (_SET_NAME, name.encode()),
    ):
        line.sendall(struct.pack("<BHB", _COMMAND, opcode, len(body)) + body)
        answer = packet(line)
        if answer[-1]:
            sys.exit(f"the air refuses {opcode:#x}: {answer.hex()}")
    vhci = os.open("/dev/vhci", os.O_RDWR)
    os.write(vhci, _CREATE_PRIMARY)
    created = os.read(vhci, _MOST)
    print(f"hci{struct.unpack_from('<H', created, 2)[0]}", flush=True)
    threading.Thread(target=upwards, args=(line, vhci), daemon=True).start()
    while True:
        line.sendall(os.read(vhci, _MOST))


if __name__ == "__main__":
    main(*sys.argv[1:])

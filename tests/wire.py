"""A network between a client and a server on this computer, which swallows or breaks."""

import socket
import threading
from contextlib import suppress

from tests.unit.paper_server import HOST

TO_SERVER, TO_CLIENT = "to server", "to client"
_PATIENCE_S = 60.0
_CHUNK = 65536


class Wire:
    """Passes bytes from its `port` to another, both ways. A context manager.

    `swallow`: from now on the bytes in a direction are taken and never arrive, while all
    connections stay open: a mobile network in a tunnel. `cut` breaks them, and new ones work.
    `swallowed`: set once something was.
    """

    def __init__(self, port):
        self._to = (HOST, port)
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.swallowed = threading.Event()
        self._swallowing = set()  # of the connections made since the last cut
        self._open = set()
        self._lock = threading.Lock()
        self._threads = []

    def __enter__(self):
        self._begin(self._accept)
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(_PATIENCE_S)
        self.cut()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def swallow(self, *directions):
        """Swallow what goes in these directions, until `cut`."""
        self.swallowed.clear()
        self._swallowing.update(directions)

    def cut(self):
        """Break every connection."""
        with self._lock:
            self._swallowing = set()
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _begin(self, call, *arguments):
        thread = threading.Thread(target=call, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self):
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                self._begin(self._carry, client)

    def _carry(self, client):
        with suppress(OSError), client, socket.create_connection(self._to) as server:
            with self._lock:
                swallowing = self._swallowing
                self._open |= {client, server}
            back = self._begin(self._pump, server, client, TO_CLIENT, swallowing)
            self._pump(client, server, TO_SERVER, swallowing)
            back.join()
            with self._lock:
                self._open -= {client, server}

    def _pump(self, source, sink, direction, swallowing):
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if direction in swallowing:
                    self.swallowed.set()
                else:
                    sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

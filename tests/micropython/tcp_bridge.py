"""A serial line on a TCP port, as `ser2net` and emulators offer it."""

import os
import selectors
import socket
import threading


class TcpBridge:
    """Serves the terminal at `path` to one client after another; `url` is what tools open."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> "TcpBridge":
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._stop, self._stopped = socket.socketpair()
        self._line = os.open(self._path, os.O_RDWR | os.O_NOCTTY)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.send(b"x")
        self._thread.join()
        os.close(self._line)
        for each in (self._server, self._stop, self._stopped):
            each.close()

    def _serve(self) -> None:
        while True:
            with selectors.DefaultSelector() as ready:
                ready.register(self._server, selectors.EVENT_READ)
                ready.register(self._stopped, selectors.EVENT_READ)
                if self._stopped in {key.fileobj for key, _ in ready.select()}:
                    return
            client, _ = self._server.accept()
            with client:
                try:
                    if not self._carry(client):
                        return
                except ConnectionError:
                    continue  # it hung up while the board was still talking

    def _carry(self, client: socket.socket) -> bool:
        """Carry bytes both ways until the client hangs up; False if all is to end."""
        with selectors.DefaultSelector() as ready:
            for source in (client, self._line, self._stopped):
                ready.register(source, selectors.EVENT_READ)
            while True:
                sources = {key.fileobj for key, _ in ready.select()}
                if self._stopped in sources:
                    return False
                if self._line in sources:
                    client.sendall(os.read(self._line, 4096))
                if client in sources:
                    data = client.recv(4096)
                    if not data:
                        return True
                    os.write(self._line, data)

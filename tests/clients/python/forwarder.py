"""A network that can be cut: hands every connection on to the server, until told otherwise."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class Forwarder:
    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname, address.port)
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._down = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                with self._lock:
                    self._sockets |= {near, far}
                    if self._down:
                        self._end({near, far})
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        self._end({source, sink})

    @staticmethod
    def _end(sockets: set[socket.socket]) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Ends all connections, and lets none through meanwhile."""
        with self._lock:
            self._down = True
            self._end(self._sockets)
        yield
        with self._lock:
            self._down = False

    def close(self) -> None:
        self._listener.close()
        with self._lock:
            self._end(self._sockets)

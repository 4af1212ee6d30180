"""A host outside, which counts what arrives there and serves what an attacker would put on a site of their own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Outside", "outside"]


class Outside:
    """What arrived: ``asked`` over HTTP, by path, and ``packets`` over UDP; ``pages`` is what it serves."""

    def __init__(self, port: int, udp: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        self.pages: dict[str, str] = {}
        self._udp = udp

    @property
    def udp_port(self) -> int:
        """Where it takes packets."""
        return int(self._udp.getsockname()[1])

    @property
    def packets(self) -> int:
        """How many packets have arrived since it was last asked."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self._udp.recv(2048):
                count += 1
        return count


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    """Listen on free ports of this machine, which is another site than any name under localhost."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)

    class Answer(BaseHTTPRequestHandler):
        """Counts and answers."""

        def do_GET(self) -> None:
            """Answer with the page of that path."""
            here.asked.append(self.path)
            body = here.pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    here = Outside(server.server_port, udp)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        udp.close()

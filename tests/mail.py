"""A small mail server for tests, which keeps what it is sent."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Mailbox", "mailbox"]


class Mailbox:
    """Where it listens, and what came: to whom, and the whole message."""

    def __init__(self) -> None:
        self.port = 0
        self.letters: list[tuple[str, str]] = []


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Serve on a free port of loopback."""
    box = Mailbox()

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 test")
            to = ""
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "RCPT":
                    to = line.partition("<")[2].partition(">")[0]
                if word == "DATA":
                    self.say("354 go on")
                    lines = list(iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), "."))
                    box.letters.append((to, "\n".join(lines)))
                self.say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    return

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield box
        server.shutdown()
        thread.join(10)

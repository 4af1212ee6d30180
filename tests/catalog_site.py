"""A site whose records have files, as an InvenioRDM repository shows them; what it says of them may be lies."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

__all__ = ["Repository", "repository"]


@dataclass
class Repository:
    """Records by id, each with its files by name; ``lies`` is what is said of a file otherwise, by its name."""

    records: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lies: dict[str, dict[str, Any]] = field(default_factory=dict)
    access: dict[str, Any] = field(default_factory=lambda: {"status": "open"})
    #: What is answered at other paths: status, headers, body.
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    ranges: bool = True
    #: What was asked, and with which headers.
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def record(self, id: str) -> dict[str, Any]:
        """Return a record as it is told."""
        entries = {name: self._entry(id, name, data) for name, data in self.records[id].items()}
        files = {"enabled": True, "count": len(entries), "entries": entries}
        said = {"title": f"Record {id}", "resource_type": {"id": "dataset"}}
        return {"id": id, "metadata": said, "files": files, "access": self.access}

    def _entry(self, id: str, name: str, data: bytes) -> dict[str, Any]:
        content = f"{self.url}/api/records/{id}/files/{quote(name, safe='')}/content"
        told = {"key": name, "size": len(data), "checksum": f"md5:{hashlib.md5(data).hexdigest()}"}
        return {**told, "links": {"content": content}, **self.lies.get(name, {})}

    def answer(self, path: str, asked_range: str) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a question."""
        if path in self.pages:
            return self.pages[path]
        parts = path.removeprefix("/api/records/").split("/")
        if parts[0] not in self.records:
            return 404, {}, b"{}"
        if len(parts) == 1:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.record(parts[0])).encode()
        data = self.records[parts[0]][unquote(parts[2])]
        if self.ranges and asked_range:
            first, _, last = asked_range.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1]
            return 206, {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"}, part
        return 200, {"Content-Type": "application/octet-stream"}, data


@contextmanager
def repository(**records: dict[str, bytes]) -> Iterator[Repository]:
    """Serve a repository on a free port of 127.0.0.1."""
    made = Repository(dict(records))

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, dict(self.headers.items())))
            status, headers, body = made.answer(urlsplit(self.path).path, self.headers.get("Range", ""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # who asked has enough

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()

"""A stand-in for the app server in tests of what runs it: answers every request with its own environment."""

from __future__ import annotations

import http.server
import json
import os
from urllib.parse import urlsplit


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers with the environment as JSON."""

    def do_GET(self) -> None:
        """Answer."""
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    place = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    http.server.ThreadingHTTPServer((place.hostname or "", place.port or 0), Answer).serve_forever()

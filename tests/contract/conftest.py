"""A real WebDAV server for the contract."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp  # type: ignore[import-untyped]

USERNAME = "alice"
PASSWORD = "pâss wörd:1"


@dataclass(frozen=True)
class DavServer:
    """Where the server is, and the folder that it serves."""

    url: str
    root: Path


@pytest.fixture(scope="session")
def dav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    """Serve a temporary folder at /dav/ on a free port, for one user with Basic authentication."""
    root = tmp_path_factory.mktemp("dav")
    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/dav": {"root": str(root)}},
            "simple_dc": {"user_mapping": {"*": {USERNAME: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "lock_storage": True,
            "property_manager": None,
            "verbose": 0,
            "logging": {"enable": False},
        }
    )
    # One thread, because wsgidav compares etags and writes in two steps, and others would come in between.
    server = Server(("127.0.0.1", 0), app, numthreads=1)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield DavServer(f"http://127.0.0.1:{server.bind_addr[1]}/dav/", root)
    server.stop()
    thread.join(10)

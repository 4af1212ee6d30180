"""An index of packages on loopback: small wheels made on the spot, and the apps' own packages packed up again.

So environments are made for real, by the real installer, without the internet.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

from hub_service.settings import ROOT
from tests.portal_fixture import app_python
from vaas.environments.base import Bounds
from vaas.environments.uv import UvMaker
from vaas.packages import normal

__all__ = ["Packages", "maker", "packages", "wheel"]

_LINK = '<a href="/files/{file}#sha256={sha256}" data-core-metadata="true">{file}</a>'


def wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes | str],
    *,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
) -> tuple[str, bytes]:
    """Return the file name and the bytes of a wheel with these files."""
    head = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {each}" for each in requires),
    ]
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    described = {
        f"{info}/METADATA": "\n".join([*head, "", ""]),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    return f"{name.replace('-', '_')}-{version}-{tag}.whl", _packed({**files, **described}, info)


def _packed(files: Mapping[str, bytes | str], info: str) -> bytes:
    record, packed = io.StringIO(), io.BytesIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(packed, "w") as archive:
        for path, data in files.items():
            raw = data.encode() if isinstance(data, str) else data
            digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
            rows.writerow([path, f"sha256={digest}", len(raw)])
            archive.writestr(path, raw)
        rows.writerow([f"{info}/RECORD", "", ""])
        archive.writestr(f"{info}/RECORD", record.getvalue())
    return packed.getvalue()


def _metadata(made: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))


class Packages:
    """The index: ``url`` is its address, ``asked`` all that was asked for; while ``down``, it has nothing to say."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.down = False
        self.url = ""

    def add(self, made: tuple[str, bytes]) -> None:
        """Offer a wheel."""
        self._files[made[0]] = made[1]

    def remove(self, name: str) -> None:
        """Offer no file of this package any more."""
        self._files = {file: data for file, data in self._files.items() if normal(file.split("-")[0]) != name}

    def add_kernel(self) -> None:
        """Offer what every environment has, as the app environment has it."""
        self._add_installed({"ipykernel", "jupyter-client", "tornado", "traitlets"})

    def _add_installed(self, names: set[str]) -> None:
        ask = [app_python(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
        known = {normal(found.metadata["Name"]): found for found in distributions(path=[site])}
        seen: set[str] = set()
        while names:
            seen |= names
            for name in names:
                self.add(_repacked(known[name]))
            wanted = (Requirement(each) for name in names for each in known[name].requires or ())
            needed = {normal(each.name) for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})}
            names = needed - seen

    def answer(self, path: str) -> bytes | None:
        """Return what is at the path."""
        self.asked.append(path)
        kind, _, name = path.strip("/").partition("/")
        if kind == "files":
            if name.endswith(".metadata"):
                return _metadata(self._files[name.removesuffix(".metadata")])
            return self._files.get(name)
        found = [file for file in self._files if normal(file.split("-")[0]) == normal(name)]
        links = (_LINK.format(file=file, sha256=hashlib.sha256(self._files[file]).hexdigest()) for file in found)
        return f"<!DOCTYPE html><html><body>{' '.join(links)}</body></html>".encode() if found else None


def maker(folder: Path, index: Packages | str, *, bounds: Bounds | None = None) -> UvMaker:
    """Return what makes environments in the folder from the index, as the portal does."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert uv, "There is no uv in the test environment: run make test-env."
    core, known = (ROOT / "requirements" / name for name in ("core.in", "app.lock"))
    return UvMaker(
        folder,
        uv=Path(uv),
        python=app_python(),
        core=core.read_text(),
        known=known.read_text(),
        index=index if isinstance(index, str) else index.url,
        environ=os.environ,
        bounds=bounds,
    )


def _repacked(found: Distribution) -> tuple[str, bytes]:
    """Return the wheel that an installed package was, without its scripts."""
    tags = [tag.split("-") for tag in re.findall(r"^Tag: (\S+)", found.read_text("WHEEL") or "", re.MULTILINE)]
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    name, version = found.metadata["Name"].replace("-", "_").replace(".", "_"), found.version
    kept = [file for file in found.files or () if ".." not in file.parts and "__pycache__" not in file.parts]
    info = next(file.parts[0] for file in kept if file.parts[0].endswith(".dist-info"))
    paths = {str(file): Path(str(file.locate())) for file in kept if file.name != "RECORD"}
    return f"{name}-{version}-{tag}.whl", _packed({at: path.read_bytes() for at, path in paths.items()}, info)


@contextmanager
def packages() -> Iterator[Packages]:
    """Serve an index on a free port of loopback."""
    index = Packages()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = None if index.down else index.answer(self.path)
            self.send_response(503 if index.down else 200 if data is not None else 404)
            kind = "application/octet-stream" if self.path.startswith("/files/") else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has seen enough
                self.wfile.write(data or b"" if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

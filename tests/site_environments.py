"""Environments of a site, made on the spot: Pythons that have what apps have, and something of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.portal_fixture import app_python

__all__ = ["kernelspec", "site_python"]


def site_python(folder: Path, name: str, version: str, *, knows: bool = True) -> Path:
    """Return the Python of a new environment that has one module of its own, which says its ``VERSION``.

    ``knows`` gives it what apps have, by a word on where that lies.
    """
    apps = app_python()
    subprocess.run([str(apps), "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    if knows:
        (there,) = apps.parent.parent.glob("lib/python3.*/site-packages")
        (site / "apps.pth").write_text(f"{there}\n")
    (site / f"{name}.py").write_text(f"VERSION = {version!r}\n")
    about = site / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (about / "top_level.txt").write_text(f"{name}\n")
    return folder / "bin" / "python"


def kernelspec(folder: Path, python: Path, **env: str) -> Path:
    """Return the folder of a kernelspec that starts this Python with these variables."""
    folder.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    said = {"argv": argv, "display_name": folder.name, "language": "python", "env": env}
    (folder / "kernel.json").write_text(json.dumps(said))
    return folder

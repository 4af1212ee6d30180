"""Pages of our own in the app's place: what is wrong, and that somebody has to wait."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

import vaas
from vaas.runtime.manifest import Manifest

__all__ = ["Messages"]


class Messages:
    """Writes them for one app, whose server answers under ``base_url``."""

    def __init__(self, manifest: Manifest, *, base_url: str) -> None:
        templates = Path(vaas.__file__).parent.parent / "templates" / "voila" / "vaas"
        self._templates = Environment(loader=FileSystemLoader(templates), autoescape=True)
        self._app = {"title": manifest.title, "open": manifest.open, "about": manifest.about, "base_url": base_url}

    def wrong(self, status: int, *, text: str = "") -> str:
        """Return a page that says what is wrong."""
        return self._templates.get_template("message.html.j2").render(self._app, status=status, text=text)

    def waiting(self, **shown: object) -> str:
        """Return the page of who waits."""
        return self._templates.get_template("waiting.html.j2").render(self._app, **shown)

"""Pressing "Launch" in an app, and a copy of its notebook, made as a launch makes it and run in the app environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.notebooks import code, notebook
from tests.service.portal_stub import app_python
from tests.service.visiting import Visiting
from vaas.lab.given import lay_beside

__all__ = ["launch", "rerun"]

_RUN = """
import sys, nbformat
from nbclient import NotebookClient
document = nbformat.read("lesson.ipynb", 4)
NotebookClient(document, kernel_name="python3", timeout=60, resources={"metadata": {"path": "."}}).execute()
nbformat.write(document, "lesson.ipynb")
"""


async def launch(visit: Visiting, token: str | None = None) -> tuple[int, str]:
    """Press "Launch" as the page does, with its token; return the status, and where that leads."""
    answer = await visit.visitor.ask("vaas/given", method="POST", body=visit.page.token if token is None else token)
    return answer.code, json.loads(answer.body)["launch"] if answer.code == 200 else ""


def rerun(folder: Path, given: Mapping[str, Any], *cells: str, before: str = "") -> list[str]:
    """Return what each of the cells printed, in a copy that goes on with what was ``given``.

    ``before``: a cell that is run before all others.
    """
    folder.mkdir()
    first = lay_beside(folder, given)
    made = [*filter(None, (before, first)), *cells]
    (folder / "lesson.ipynb").write_bytes(notebook(*map(code, made)))
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    subprocess.run([app_python(), "-c", _RUN], cwd=folder, env=environ, check=True, capture_output=True, timeout=120)
    ran = json.loads((folder / "lesson.ipynb").read_bytes())["cells"][-len(cells) :]
    return ["".join("".join(out.get("text", "")) for out in cell["outputs"]) for cell in ran]

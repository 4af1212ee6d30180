"""Real notebooks look the same however they open, and as in plain Voilà: the same cells, widgets and values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.comparing import MODES, Shown, different, files_beside, opened, shown
from tests.service.portal_stub import REPOSITORY

pytestmark = pytest.mark.app

EXAMPLES = REPOSITORY / "dashboards/examples"
NAMES = {"climate-explorer": "climate", "lesson-sampling": "sampling", "penguins": "penguins", "world-map": "world-map"}
#: What the app server says of how it opens.
SAID = {"warm": "Visits are no forks: Pipes are open", "instant": "The app opens at once"}


@pytest.mark.parametrize("example", NAMES)
async def test_a_real_app_is_the_same_in_every_mode_and_in_voila(tmp_path: Path, example: str) -> None:
    name = f"{NAMES[example]}.ipynb"
    found: dict[str, Shown] = {}
    for mode in MODES:
        folder = tmp_path / mode
        folder.mkdir()
        async with opened(mode, folder, files_beside(EXAMPLES / example / name), name) as visit:
            found[mode] = await shown(visit)
            assert SAID.get(mode, "") in visit.log()
    first = found["voila"]
    assert len(first["models"]) > 10 and first["views"] and "?" not in first["views"] and first["cells"]
    assert {mode: different(first, found[mode]) for mode in MODES[1:]} == {"cold": [], "warm": [], "instant": []}

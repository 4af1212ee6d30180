"""Real notebooks look the same however they open, and as in plain Voilà: the same cells, widgets and values."""

from __future__ import annotations

import pytest

from tests.service.comparing import MODES, Shown, different, files_beside, in_mode
from tests.service.portal_stub import REPOSITORY

pytestmark = pytest.mark.app

EXAMPLES = REPOSITORY / "dashboards/examples"
NAMES = {"climate-explorer": "climate", "lesson-sampling": "sampling", "penguins": "penguins", "world-map": "world-map"}
#: What the app server says of how it opens.
SAID = {"warm": "Visits are no forks: Pipes are open", "instant": "The app opens at once"}


@pytest.mark.parametrize("example", NAMES)
async def test_a_real_app_is_the_same_in_every_mode_and_in_voila(example: str) -> None:
    name = f"{NAMES[example]}.ipynb"
    found: dict[str, Shown] = {}
    for mode in MODES:
        found[mode], log = await in_mode(mode, files_beside(EXAMPLES / example / name), name)
        assert SAID.get(mode, "") in log
    first = found["voila"]
    assert len(first["models"]) > 10 and first["views"] and "?" not in first["views"]
    # One of them shows everything by widgets.
    assert first["cells"] or example == "climate-explorer"
    assert {mode: different(first, found[mode]) for mode in MODES[1:]} == {"cold": [], "warm": [], "instant": []}

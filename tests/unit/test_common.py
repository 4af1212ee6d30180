"""What all apps share is looked at once, by whoever asks first, and can be made again of what it was installed from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub_service.common import Common
from hub_service.probing import Probe
from hub_service.settings import ROOT
from tests.portal_fixture import app_python
from tests.portal_parts import ADA, World
from vaas.served import plain


class Counting(Probe):
    """Counts what it is asked."""

    asked = 0

    async def ask(self, name: str, question: object) -> dict[str, object]:  # type: ignore[override]
        self.asked += 1
        return dict(await super().ask(name, question))  # type: ignore[arg-type]


async def test_it_is_what_is_installed_and_its_lock_has_all_of_it(world: World) -> None:
    probe = Counting()
    Common(world.core, app_python(), probe)
    assert world.core.common.state == "unknown"
    await asyncio.gather(*(world.core.look_at_common() for _ in range(5)))
    common, lock = world.core.common, world.core.common_lock
    assert probe.asked == 1 and common.state == "ready" and common.packages["voila"] and common.modules["pandas"]
    assert lock and lock.packages == plain(common.packages) and lock.python == ".".join(common.version.split(".")[:2])


async def test_what_the_lock_does_not_name_cannot_be_made_again_and_the_log_says_so(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    text = (ROOT / "requirements" / "app.lock").read_text()
    (tmp_path / "app.lock").write_text(text.replace("\nvoila==", "\nother=="))
    Common(world.core, app_python(), Probe(), known=tmp_path / "app.lock")
    await world.core.look_at_common()
    assert world.core.common.packages["voila"] and world.core.common_lock is None
    assert "no version can have them again" in caplog.text


async def test_where_there_is_none_nothing_is_known_of_it(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Common(world.core, tmp_path / "no" / "python", Probe())
    await world.core.look_at_common()
    assert world.core.common.state == "unknown" and world.core.common_lock is None and not world.core.common.packages
    assert "What apps share is not known: " in caplog.text
    draft = world.uploaded(ADA)
    await world.settle()
    assert [file.path for file in world.portal.drafts.get(ADA, draft.id).snapshot.files] == ["lesson.ipynb"]

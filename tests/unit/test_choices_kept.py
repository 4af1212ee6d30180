"""What was chosen for an app stays chosen: over new versions, copies, checks that follow each other or fail."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, World
from tests.unit.test_environments import Shelf, paths, shelf
from tests.unit.test_serving import OCEAN, drafted, published, served, site
from vaas.errors import Unavailable
from vaas.locks import digest_of
from vaas.model import Draft
from vaas.portal import Publication
from vaas.portal.environments import BESIDE
from vaas.runtime.python import Site, find_python
from vaas.served import APPS, SERVED, Served

__all__ = ["shelf", "site"]

TINY = {"lesson.ipynb": notebook("import tiny")}
ASKS = {**TINY, "requirements.txt": b"tiny\n"}


async def crossed(world: World, shelf: Shelf) -> Draft:
    """Return the draft for which another environment was chosen, and found, while its first was being made."""
    shelf.go.clear()
    draft = world.portal.drafts.begin_upload(ADA, ASKS)
    await asyncio.sleep(0)
    world.portal.drafts.check_again(ADA, draft.id, environment="deep")
    while not world.machines.starts:
        await asyncio.sleep(0)
    shelf.go.set()
    await world.settle()
    return world.portal.drafts.get(ADA, draft.id)


def at_second(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, "lesson.ipynb": notebook("import tiny\n2")}


async def test_a_copy_that_asks_for_packages_later_keeps_them_in_its_next_version(site: World, shelf: Shelf) -> None:
    copied = {**ASKS, SERVED: Served(APPS).text.encode()}
    first = await published(site, copied)
    again = await drafted(site, at_second(copied), slug="tiny")
    assert digest_of(first.snapshot) and digest_of(again.snapshot) == digest_of(first.snapshot)


async def test_what_its_author_chose_counts_more_than_the_file_of_a_copy(site: World) -> None:
    copied = {**TINY, SERVED: Served("ocean").text.encode()}
    await published(site, copied, environment="deep")
    assert served(site, (await drafted(site, at_second(copied), slug="tiny")).snapshot).id == "deep"


async def test_packages_that_are_asked_for_since_are_what_its_next_version_has(site: World, shelf: Shelf) -> None:
    await published(site, TINY, environment="deep")
    again = await drafted(site, at_second(ASKS), slug="tiny")
    assert digest_of(again.snapshot) in shelf.made and SERVED not in paths(again.snapshot)
    site.portal.drafts.check_again(ADA, again.id, environment="deep")
    await site.settle()
    site.report(again)
    site.portal.drafts.publish(ADA, again.id, Publication())
    third = await drafted(site, {**ASKS, "lesson.ipynb": notebook("import tiny\n3")}, slug="tiny")
    assert served(site, third.snapshot).id == "deep"


async def test_a_copy_in_ones_files_takes_along_what_the_app_has(site: World) -> None:
    await published(site, TINY, environment="deep")
    folder = await site.portal.copies.save(ADA, "tiny", "home", "mine")
    draft = await site.portal.drafts.begin(ADA, "home", f"{folder}/lesson.ipynb")
    assert served(site, draft.snapshot).id == "deep"


class TestChecksThatCrossOrFail:
    """A draft keeps what was chosen last, and what its environment had, however its check ends."""

    async def test_what_is_chosen_while_another_environment_is_made_counts(self, site: World, shelf: Shelf) -> None:
        kept = await crossed(site, shelf)
        assert served(site, kept.snapshot).title == "Deep" and not digest_of(kept.snapshot)

    async def test_what_cannot_be_made_does_not_end_what_was_chosen_instead(self, site: World, shelf: Shelf) -> None:
        shelf.wrong = Unavailable("The index of packages does not answer.")
        kept = await crossed(site, shelf)
        assert (kept.state, kept.report) == ("waiting", {}) and served(site, kept.snapshot).title == "Deep"

    async def test_a_check_that_cannot_start_keeps_what_the_environment_had(self, site: World) -> None:
        site.machines.all_broken = True
        draft = await drafted(site, TINY, environment="deep", ok=False)
        assert draft.state == "done" and not draft.report["ok"]
        assert served(site, draft.snapshot).title == "Deep"


async def test_what_is_locked_is_called_its_own_also_where_nothing_is_made_any_more(site: World, shelf: Shelf) -> None:
    version = await published(site, ASKS)
    site.core.maker = None
    assert site.portal.choosing.chosen(version.snapshot) == BESIDE


@pytest.mark.parametrize(("python", "ours"), [("3.12.1", True), ("3.11", True), ("3.10.4", False), ("", False)])
async def test_only_a_python_that_is_new_enough_starts_our_kernel(site: World, python: str, ours: bool) -> None:
    version = await published(site, {"lesson.ipynb": notebook("import oceanlib")})
    site.core.offering = replace(site.core.offering, environments=(replace(OCEAN, version=python),))
    told = site.portal.environments.runs_in(version.snapshot)["site"]
    assert told["where"] == OCEAN.where and told["ours"] is ours


def test_a_kernel_that_is_interrupted_by_a_message_still_is(tmp_path: Path) -> None:
    for way, found in (("message", "message"), ("signal", "signal"), ("odd", "signal")):
        spec = {"argv": ["/opt/java", "{connection_file}"], "language": "java", "interrupt_mode": way}
        (tmp_path / "kernel.json").write_text(json.dumps(spec))
        python = find_python("", {}, site=Site("Java", "kernelspec", str(tmp_path), language="java"))
        assert python.spec.get("interrupt_mode", "signal") == found

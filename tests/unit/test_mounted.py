"""What a launch's plan names of a person's files: folders of this machine, by names that lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.portal_parts import World
from vaas.http import Http
from vaas.model import User
from vaas.stores.mounted import MountedStores, SharedFolder


@pytest.mark.parametrize(
    ("user", "home", "shared"),
    [
        (User("ada", frozenset({"physics"})), "ada", ("everyone", "physics")),
        (User("eve"), "eve", ("everyone",)),
        (User("../ada", frozenset({"chem"})), "%2E%2E%2Fada", ("everyone",)),
    ],
)
def test_a_plan_names_the_folders_that_the_person_sees(
    world: World, tmp_path: Path, user: User, home: str, shared: tuple[str, ...]
) -> None:
    folders = tuple(
        SharedFolder(f"shared-{name}", name, tmp_path / "shared" / name, "" if name == "everyone" else name)
        for name in ("physics", "everyone")
    )
    stores = MountedStores(homes=tmp_path / "homes", shared=folders, database=world.core.database, http=Http())
    assert stores.folders(user) == (home, shared)

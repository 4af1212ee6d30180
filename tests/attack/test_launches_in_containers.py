"""A launch in a container of Docker wants what app servers may there: to mount, to be root, to look at others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jupyterhub.spawner import SpawnException

from tests.unit.test_containers import Engine, data, engine, launch

__all__ = ["data", "engine"]

pytestmark = pytest.mark.attack


async def test_a_launch_has_none_of_the_rights_of_app_servers(engine: Engine, data: Path) -> None:
    # The site gives them to all containers, as app servers need them.
    await launch(engine, data, site={"extra_host_config": {"cap_add": ["SYS_ADMIN"], "privileged": True}}).start()
    host = engine.asked[0]["HostConfig"]
    assert (host["CapDrop"], host.get("CapAdd") or [], host.get("Privileged", False)) == (["ALL"], [], False)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders of root")
async def test_nobody_is_root_in_a_launch(engine: Engine, data: Path) -> None:
    os.chown(data / "homes" / "ada {x}", 0, 0)
    with pytest.raises(SpawnException, match="would be root"):
        await launch(engine, data).start()
    assert engine.asked == []

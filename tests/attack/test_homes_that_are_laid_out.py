"""Who works in a JupyterLab of their own can lay anything into their home, where the portal looks for them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vaas.errors import Invalid
from vaas.stores.folder import FolderStore

pytestmark = pytest.mark.attack


async def test_links_that_take_long_to_follow_keep_nobody_waiting(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "e").mkdir(parents=True)
    (home / "a.txt").write_text("a")
    for number in range(300):
        (home / f"l{number}").symlink_to("e/../" * 800 + "e")
        (home / f"chain{number}").symlink_to(f"chain{number - 1}" if number else "a.txt")
    store, began = FolderStore("home", "Home", home), time.process_time()
    seen = [entry.name for entry in await store.list("")]
    assert time.process_time() - began < 1
    assert {"e", "a.txt", "chain0", "chain30"} <= set(seen) and not {"l0", "chain100"} & set(seen)
    for path in ("l0", "chain100"):
        with pytest.raises(Invalid):
            await store.stat(path)


async def test_links_lead_where_they_did(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    (home / "deep" / "a.txt").write_text("a")
    (tmp_path / "out.txt").write_text("secret")
    links = {"same": "deep/a.txt", "round": "../home/deep/../deep/a.txt", "whole": str(home / "deep" / "a.txt")}
    links |= {"out": "../out.txt", "out2": "deep/../../out.txt", "loop": "loop", "none": "nothing", "top": "/"}
    for name, target in links.items():
        os.symlink(target, home / name)
    store = FolderStore("home", "Home", home)
    found = sorted(entry.name for entry in await store.list(""))
    assert found == ["deep", "round", "same", "whole"]
    assert await store.read("round", limit=10) == b"a"

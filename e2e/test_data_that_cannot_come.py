"""Data that cannot be fetched for a launch: each is told with its reason, and nothing of it is left half done."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from e2e.offered import offered
from e2e.people import DESKTOP, PHONE, Person, Site, watched
from tests.portal_fixture import RunningPortal, app_python, running, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.hub,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a small disk"),
]
#: A place that has people's homes, and to which all else is brought.
OFFERED = offered('id = "here"\ntitle = "This machine"\nkind = "local"\nstores = ["home"]')
SMALL, LARGE = b"year,level\n2026,7\n", b"year,level\n" + b"2026,7\n" * 600_000
API = "/services/vaas/api/"
_LAB, _PATIENCE = re.compile("/lab/tree/"), 60_000


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal with such a place; ada's home is a disk of 3 MB."""
    folder = tmp_path_factory.mktemp("brought")
    (folder / "offered.toml").write_text(OFFERED)
    environ = {"VAAS_FACILITIES": str(folder / "offered.toml")}
    with running(folder / "data", app_python=app_python(), environ=environ) as portal:
        for name, data in (("fine.csv", SMALL), ("altered.csv", SMALL), ("large.csv", LARGE)):
            (portal.data / "shared" / "everyone" / name).write_bytes(data)
        home = portal.data / "homes" / "ada"
        owner = home.stat()
        options = f"size=3m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "vaas", home], check=True)
        try:
            yield portal
        finally:
            portal.stop()
            subprocess.run(["umount", "-l", home], check=True)


@pytest.fixture
def site(brought: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return that portal as people see it; at the end no page may have complained in its console."""
    with watched(brought, browser) as site:
        yield site


def keeps(portal: RunningPortal, *names: str, owner: str = "ada") -> None:
    """Put those shared files into the person's basket, once the index knows them with their checksums."""
    token = portal.token_for(owner)

    def found(name: str) -> list[dict[str, Any]]:
        records = portal.get(f"{API}search?q=name:{name}", token=token).json()["records"]
        return [each for each in records if each["title"] == name and each["details"].get("checksum")]

    until(lambda: all(map(found, names)), seconds=60, what="the index")
    for name in names:
        body = {"catalog": "here", "record": found(name)[0]["id"]}
        added = portal.request("POST", f"{API}baskets/current/things", token=token, json=body)
        assert added.status_code < 300, added.text


def alter(file: Path, data: bytes) -> None:
    """Change a file as a disk does that has gone bad: nothing tells that it is another one."""
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def launched(person: Person) -> Path:
    """Press the button and wait for JupyterLab; return the folder of the newest copy."""
    person.page.get_by_role("main").get_by_role("button", name="Launch in JupyterLab").click()
    person.page.wait_for_url(_LAB, timeout=_PATIENCE)
    folders = (person.site.portal.data / "homes" / person.name / "Launches").iterdir()
    return max(folders, key=lambda folder: folder.stat().st_ctime)


def fits(person: Person) -> bool:
    """Tell whether the page is no wider than a phone."""
    person.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    wide = person.page.evaluate("document.documentElement.scrollWidth")
    person.page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    return bool(wide <= PHONE["width"])


def test_what_cannot_come_is_told_and_comes_when_it_is_mended(site: Site, ada: Person) -> None:
    keeps(site.portal, "fine.csv", "altered.csv", "large.csv")
    altered = site.portal.data / "shared" / "everyone" / "altered.csv"
    alter(altered, SMALL.upper())
    page = ada.page
    ada.goes("launch?basket=current")
    folder = launched(ada)
    overview = folder / "Data.md"
    until(lambda: overview.read_text().count("It could not be fetched") == 2, seconds=20, what=overview.read_text)
    assert [each.name for each in (folder / "data").iterdir()] == ["fine.csv"]
    ada.goes("servers")
    ada.pictures("brought-servers")
    page.get_by_role("link", name="2 things of the data are missing").click()
    expect(page.get_by_role("heading", name="“My basket” is ready")).to_be_visible()
    row = page.locator("[data-thing]")
    expect(row.filter(has_text="large.csv")).to_contain_text("There is no room left")
    expect(row.filter(has_text="altered.csv")).to_contain_text("not what its checksum says")
    expect(row.filter(has_text="fine.csv")).to_contain_text("There")
    ada.pictures("brought-ready")
    assert fits(ada)
    # What the page says to try.
    alter(altered, SMALL)
    subprocess.run(["mount", "-o", "remount,size=20m", site.portal.data / "homes" / "ada"], check=True)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Start it again").click()
    page.wait_for_url(_LAB, timeout=_PATIENCE)
    data = folder / "data"
    until(lambda: (data / "large.csv").exists() and (data / "altered.csv").exists(), seconds=20, what="the data")
    assert {each.name: each.read_bytes() for each in data.iterdir()} == {
        "fine.csv": SMALL,
        "altered.csv": SMALL,
        "large.csv": LARGE,
    }
    until(lambda: "could not" not in overview.read_text(), seconds=10, what="the overview")


def test_a_full_home_is_told_and_has_no_half_copy(site: Site, ada: Person) -> None:
    home = site.portal.data / "homes" / "ada"
    before = sorted(home.rglob("*.ipynb"))
    filler = home / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    ada.goes("apps/world-map/launch")
    page = ada.page
    page.get_by_role("main").get_by_role("button", name="Launch in JupyterLab").click()
    said = "There is no room left for the notebook. Remove what you no longer need, then start it again."
    expect(page.get_by_role("alert")).to_have_text(said, timeout=_PATIENCE)
    ada.pictures("brought-full")
    assert fits(ada)
    assert sorted(home.rglob("*.ipynb")) == before
    filler.unlink()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(_LAB, timeout=_PATIENCE)
    assert len(sorted(home.rglob("*.ipynb"))) == len(before) + 1

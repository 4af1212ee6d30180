"""The file of catalogs elsewhere: what it gives, and that whatever is wrong in it is named with its line."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from tornado.httputil import HTTPServerRequest

from hub_service import control
from hub_service.application import make_portal
from hub_service.catalog_file import KINDS, Elsewhere, read_catalogs
from hub_service.settings import Settings
from hub_service.site import allowed_private, look_up
from tests.servers import web
from vaas.errors import Invalid
from vaas.model import Visitor

GOOD = """# Where else to look.
[[catalog]]
id = "zenodo"
kind = "invenio"
title = "Zenodo"
url = "https://zenodo.org"
token_file = "zenodo.token"

[[catalog]]
id = "earth"
kind = "stac"
title = "Earth Search"
url = "https://earth-search.aws.element84.com/v1"
patience = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "zenodo.token").write_text("secret-token\n")
    return tmp_path / "catalogs.toml"


def test_catalogs_come_as_they_are_written(file: Path) -> None:
    file.write_text(GOOD)
    zenodo, earth = read_catalogs(file)
    assert zenodo == Elsewhere("zenodo", "invenio", "Zenodo", "https://zenodo.org", "secret-token")
    assert (earth.kind, earth.patience, earth.token) == ("stac", 3.0, "")
    assert "secret" not in repr(zenodo)


def test_without_a_file_there_are_none(file: Path) -> None:
    assert read_catalogs(None) == ()
    file.write_text("")
    assert read_catalogs(file) == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('id = "zenodo"', 'id = "Zen odo"', 3, "is no id"),
        ('id = "zenodo"', 'id = "here"', 3, "this portal"),
        ('id = "earth"', 'id = "zenodo"', 10, "two catalogs"),
        ('kind = "stac"', 'kind = "rucio"', 11, "There are ckan, invenio, stac"),
        ('title = "Earth Search"', "", 9, "has no “title”"),
        ('title = "Earth Search"', "title = 7", 12, "quotation marks"),
        ('url = "https://zenodo.org"', 'url = "zenodo.org"', 6, "no web address"),
        ('url = "https://zenodo.org"', 'url = "file:///etc/passwd"', 6, "no web address"),
        ("patience = 3", "patience = 3000", 14, "seconds"),
        ("patience = 3", "patience = true", 14, "seconds"),
        ("patience = 3", 'colour = "red"', 14, "“colour” is not known"),
        ("patience = 3", 'token_file = "zenodo.token"', 14, "take no token"),
        ("zenodo.token", "none.token", 7, "cannot be read"),
        ("# Where", "catalogues = 1\n# Where", 1, "[[catalog]]"),
        ('kind = "stac"', "kind = stac", 11, "line 11"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(Invalid) as said:
        read_catalogs(file)
    assert f"line {line}" in said.value.message and words in said.value.message, said.value.message
    assert str(file) in said.value.message and "secret-token" not in said.value.message


@pytest.mark.parametrize(
    ("host", "allowed", "fits"),
    [
        ("10.1.2.3", "", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("127.0.0.1:8090", "127.0.0.1:8091", False),
        ("127.0.0.1:8090", "127.0.0.1:8090", True),
        ("[::1]:8090", "", False),
        ("sea.localhost", "", False),
        ("inside.example.org", "", False),
        ("inside.example.org", "inside.example.org", True),
        ("inside.example.org", "10.0.0.0/8", True),
        ("both.example.org", "", True),
        ("unknown.example.org", "", True),
    ],
)
def test_a_private_address_that_is_not_allowed_is_named_with_its_line(
    file: Path, host: str, allowed: str, fits: bool
) -> None:
    file.write_text(GOOD.replace("zenodo.org", host))
    names = {"inside.example.org": ["10.1.2.3", "fd00::1"], "both.example.org": ["10.1.2.3", "93.184.216.34"]}

    entries = allowed_private({"VAAS_ALLOWED_PRIVATE": allowed})
    words = rf"line 6: .* put {re.escape(host)} into VAAS_ALLOWED_PRIVATE"
    with contextlib.nullcontext() if fits else pytest.raises(Invalid, match=words):
        assert len(read_catalogs(file, allowed=entries, look_up=lambda name: names.get(name, []))) == 2


def test_what_allows_nothing_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("VAAS_ALLOWED_PRIVATE", "10.0.0.0/8, http://nas.example")
        assert control.main(["up", "--data", str(tmp_path / "data")]) == 2
    assert "VAAS_ALLOWED_PRIVATE: http://nas.example is neither" in capsys.readouterr().err


def test_a_name_of_this_machine_is_looked_up_and_one_that_nobody_knows_is_not_waited_for() -> None:
    assert set(look_up("localhost")) <= {"127.0.0.1", "::1"} and look_up("localhost")
    assert look_up("nobody.invalid") == look_up("\ud800") == ()


def test_what_is_no_file_or_no_text_is_said(file: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_catalogs(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="UTF-8"):
        read_catalogs(file)
    file.write_text('catalog = "x"')
    with pytest.raises(Invalid, match=r"line 1.*\[\[catalog\]\]"):
        read_catalogs(file)


def test_every_kind_can_be_made() -> None:
    from hub_service.application import _CATALOGS
    from vaas.http import Http

    assert set(_CATALOGS) == set(KINDS)
    for kind, make in _CATALOGS.items():
        catalog = make(Elsewhere("one", kind, "One", "https://one.example.org"), Http())
        assert (catalog.id, catalog.title) == ("one", "One")


def test_a_mistake_stops_the_start(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD.replace('kind = "stac"', 'kind = "rucio"'))
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("VAAS_CATALOGS", str(file))
        assert control.main(["up", "--data", str(tmp_path / "data")]) == 2
        assert f"VAAS_CATALOGS={file}, line 11: “rucio” is no kind of catalog." in capsys.readouterr().err
        file.write_text(GOOD.replace("zenodo.org", "192.168.1.7"))
        assert control.main(["up", "--data", str(tmp_path / "data")]) == 2
    assert f"VAAS_CATALOGS={file}, line 6: “192.168.1.7” is inside a private network." in capsys.readouterr().err


async def test_a_catalog_of_the_file_is_searched(file: Path, tmp_path: Path) -> None:
    answer = {"result": {"count": 1, "results": [{"name": "tides", "title": "Tides of the North Sea"}]}}

    asked_for: list[str] = []

    def asked(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        asked_for.append(request.path)
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    async with web(asked) as port:
        url = f"http://127.0.0.1:{port}"
        file.write_text(f'[[catalog]]\nid = "sea"\nkind = "ckan"\ntitle = "Sea data"\nurl = "{url}"\n')
        environ = {"VAAS_DATA": str(tmp_path / "data"), "VAAS_CATALOGS": str(file)}
        environ |= {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "JUPYTERHUB_API_TOKEN": ""}
        (tmp_path / "data").mkdir()
        # A private address is asked only where the site says so.
        with pytest.raises(Invalid, match="line 5: “127.0.0.1” is inside a private network"):
            make_portal(Settings.from_environ(environ), environ)
        said = environ | {"VAAS_ALLOWED_PRIVATE": f"127.0.0.1:{port}"}
        portal = make_portal(Settings.from_environ(said), said)
        assert portal.indexing is not None
        portal.indexing.catch_up()
        for _ in range(2):
            page = await portal.finding.search("tides", visitor=Visitor())
            assert not page.silent
        portal.core.database.close()  # type: ignore[attr-defined]
    assert len(asked_for) == 1, "the same is not asked twice"
    (record,) = page.records
    assert (record.title, record.catalog, record.url) == ("Tides of the North Sea", "sea", f"{url}/dataset/tides")

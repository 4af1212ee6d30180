"""The portal's settings that come from the environment, and what it reads from its surroundings."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_service.application import app_origin, last_lines, shared_ids
from hub_service.site import bounds, frame_ancestors, limits, picture_sources
from vaas.errors import Invalid


def test_each_app_has_an_origin_one_label_below_the_portal() -> None:
    assert app_origin("https://vaas.example.org", "app-1") == "https://app-1.vaas.example.org"
    assert app_origin("http://vaas.localhost:8000", "app-1") == "http://app-1.vaas.localhost:8000"


def test_a_limit_is_set_by_its_name() -> None:
    found = limits({"VAAS_LIMIT_IDLE_AFTER": "7", "VAAS_LIMITS": "8"})
    assert found.idle_after == 7
    assert found.visits == limits({}).visits


def test_a_limit_that_there_is_not_is_named() -> None:
    with pytest.raises(Invalid, match="no limit VAAS_LIMIT_NONSENSE"):
        limits({"VAAS_LIMIT_NONSENSE": "8"})


def test_a_limit_that_is_no_number_is_named() -> None:
    with pytest.raises(Invalid, match="VAAS_LIMIT_VISITS=many"):
        limits({"VAAS_LIMIT_VISITS": "many"})


def test_a_limit_that_would_let_nobody_in_is_refused() -> None:
    for name in ("VISITS", "KERNEL_MEMORY", "CELL_SECONDS"):
        with pytest.raises(Invalid, match=f"VAAS_LIMIT_{name}=0"):
            limits({f"VAAS_LIMIT_{name}": "0"})
    assert limits({"VAAS_LIMIT_SITE_VISITS": "0", "VAAS_LIMIT_AHEAD": "0"}).ahead == 0


def test_how_much_of_the_stores_is_looked_at_can_be_set() -> None:
    found = bounds({"VAAS_HARVEST_SECONDS": "60", "VAAS_HARVEST_FILES": "", "VAAS_PORT": "1"})
    assert (found.every, found.files) == (60, bounds({}).files)
    for text in ("0", "-1", "x", "1" * 13):
        with pytest.raises(Invalid, match=f"VAAS_HARVEST_FILES={text}"):
            bounds({"VAAS_HARVEST_FILES": text})
    with pytest.raises(Invalid, match="no VAAS_HARVEST_DEEP"):
        bounds({"VAAS_HARVEST_DEEP": "1"})


def test_pictures_may_come_from_where_the_site_says() -> None:
    assert picture_sources({"VAAS_PICTURE_SOURCES": "https: tiles.example.org"}) == ("https:", "tiles.example.org")
    assert picture_sources({"VAAS_PICTURE_SOURCES": ""}) == ()


@pytest.mark.parametrize("text", ["https:; script-src *", "a, b", "'unsafe-inline'"])
def test_a_source_cannot_widen_the_policy(text: str) -> None:
    with pytest.raises(Invalid, match="VAAS_PICTURE_SOURCES"):
        picture_sources({"VAAS_PICTURE_SOURCES": text})


def test_the_end_of_a_log_is_shown_and_none_is_empty(tmp_path: Path) -> None:
    (tmp_path / "v1.log").write_text("\n".join(map(str, range(1000))))
    assert last_lines(tmp_path / "v1.log", count=2) == "998\n999"
    assert last_lines(tmp_path / "none.log") == ""


def test_sites_that_may_frame_apps_are_named_by_their_origins() -> None:
    said = "https://lms.example.org  https://*.example.com:8443"
    found = frame_ancestors({"VAAS_FRAME_ANCESTORS": said}, public_url="https://vaas.example.net")
    assert found == ("https://lms.example.org", "https://*.example.com:8443")
    assert frame_ancestors({"VAAS_FRAME_ANCESTORS": ""}, public_url="http://vaas.example.net") == ()


@pytest.mark.parametrize(
    "origin",
    ["*", "https:", "lms.example.org", "https://a.org/path", "https://a.org/?q", "https://*", "https://a.*.org"]
    + ["'self'", "https://a.org;script-src", "ftp://a.org", "https://u@a.org", "https://"],
)
def test_what_is_no_origin_may_not_frame_apps(origin: str) -> None:
    with pytest.raises(Invalid, match="VAAS_FRAME_ANCESTORS"):
        frame_ancestors(
            {"VAAS_FRAME_ANCESTORS": f"https://lms.example.org {origin}"}, public_url="https://vaas.example.net"
        )


@pytest.mark.parametrize(
    "origin", ["https://*.vaas.example.net", "https://app-1.vaas.example.net", "https://*.example.net"]
)
def test_apps_may_not_frame_each_other(origin: str) -> None:
    with pytest.raises(Invalid, match="holds the apps themselves"):
        frame_ancestors({"VAAS_FRAME_ANCESTORS": origin}, public_url="https://vaas.example.net")


def test_a_frame_of_another_site_needs_https() -> None:
    with pytest.raises(Invalid, match="https"):
        frame_ancestors({"VAAS_FRAME_ANCESTORS": "https://lms.example.org"}, public_url="http://vaas.example.net")
    assert frame_ancestors({"VAAS_FRAME_ANCESTORS": "https://lms.example.org"}, public_url="http://vaas.localhost:8000")


def test_shared_folders_with_like_names_have_addresses_of_their_own() -> None:
    alike = shared_ids(["Team_A", "team-a", "physics", "TEAM A", "Éte"])
    assert alike["team-a"] == "shared-team-a" and alike["physics"] == "shared-physics" and alike["Éte"] == "shared-ete"
    assert len(set(alike.values())) == 5
    assert all(each.startswith("shared-team-a-") for each in (alike["Team_A"], alike["TEAM A"]))
    assert shared_ids(["Team_A"]) == {"Team_A": "shared-team-a"}

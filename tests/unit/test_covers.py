"""The drawn pictures of apps: always the same, always well formed, and not all alike."""

from __future__ import annotations

from random import Random
from xml.etree import ElementTree

import pytest

from hub_service.covers import HEIGHT, MOTIFS, PALETTES, WIDTH, draw_cover

SVG = "{http://www.w3.org/2000/svg}"
SEEDS = [f"app-{number}" for number in range(120)]


def test_the_same_seed_draws_the_same_picture() -> None:
    assert draw_cover("Rain", "a1") == draw_cover("Rain", "a1")


def test_other_seeds_draw_other_pictures() -> None:
    assert len({draw_cover("Rain", seed) for seed in SEEDS}) == len(SEEDS)


def test_a_new_title_keeps_the_picture() -> None:
    before, after = draw_cover("Rain", "a1"), draw_cover("Snow", "a1")
    assert before.replace("<title>Rain</title>", "") == after.replace("<title>Snow</title>", "")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_picture_is_well_formed_16_by_9_and_light(seed: str) -> None:
    text = draw_cover("Rain & <script>alert(1)</script>", seed)
    picture = ElementTree.fromstring(text)
    assert picture.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    assert WIDTH * 9 == HEIGHT * 16
    assert len(text) < 40_000


def test_the_title_is_text_and_never_markup() -> None:
    picture = ElementTree.fromstring(draw_cover("<script>alert(1)</script>", "a1"))
    assert picture.findtext(f"{SVG}title") == "<script>alert(1)</script>"
    assert not list(picture.iter(f"{SVG}script"))


def test_pictures_need_nothing_from_elsewhere() -> None:
    for seed in SEEDS:
        text = draw_cover("Rain", seed).replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "http" not in text
        assert "style=" not in text


def test_all_palettes_come_up() -> None:
    pictures = [draw_cover("", seed) for seed in SEEDS]
    assert all(any(f'stop-color="{start}"' in picture for picture in pictures) for start, _, _ in PALETTES)


def test_every_motif_draws_shapes_of_its_own() -> None:
    drawn = {"".join(motif(Random(1), PALETTES[0][2])) for motif in MOTIFS}
    assert len(drawn) == len(MOTIFS)
    assert all(shapes.count("<") > 4 for shapes in drawn)

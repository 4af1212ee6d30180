"""What is kept ready of an app: pages that are recorded once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vaas.runtime.rendering import Renders
from vaas.runtime.stock import _Ready
from vaas.runtime.template import Ran, Template

FACTS = {"title": "Waves", "launch": "", "token": "mine"}


class _Rendering:
    """Renders pages that say who they are of; the first ``fails`` are not made."""

    def __init__(self, *, fails: int = 0) -> None:
        self.made, self._fails = 0, fails

    def address_of(self, taken: object) -> str:
        return ""

    async def record(self, title: str, *, page: Mapping[str, object], begun: Any) -> str:
        self.made += 1
        await asyncio.sleep(0)
        if self.made <= self._fails:
            raise OSError("no space left")
        return f"{title} {page['token']} {page['kernel']}"


def _page(rendering: _Rendering, ready: _Ready, facts: Mapping[str, object]) -> Any:
    return ready.page(cast(Renders, rendering), Ran((), 1), facts)


def _ready() -> _Ready:
    return _Ready(cast(Template, SimpleNamespace()))


async def test_a_page_is_made_once_for_all_who_come_and_filled_for_each() -> None:
    rendering, ready = _Rendering(), _ready()
    pages = await asyncio.gather(*(_page(rendering, ready, FACTS | {"token": f"t{n}"}) for n in range(20)))
    assert rendering.made == 1
    assert [page.filled(token=f"t{n}", kernel_id=f"k{n}") for n, page in enumerate(pages)] == [
        f"Waves t{n} k{n}" for n in range(20)
    ]


async def test_what_a_page_shows_makes_another_page() -> None:
    rendering, ready = _Rendering(), _ready()
    one, other = await _page(rendering, ready, FACTS), await _page(rendering, ready, FACTS | {"launch": "here"})
    assert rendering.made == 2
    assert one is not other


async def test_a_page_that_could_not_be_made_is_tried_again_for_the_next_visitor() -> None:
    rendering, ready = _Rendering(fails=1), _ready()
    with pytest.raises(OSError, match="no space"):
        await _page(rendering, ready, FACTS)
    assert (await _page(rendering, ready, FACTS)).filled(token="t", kernel_id="k") == "Waves t k"

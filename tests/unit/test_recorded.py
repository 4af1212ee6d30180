"""Pages that are recorded once and filled for each visit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from vaas.runtime.recorded import Recordings

FACTS = {"title": "Waves", "launch": "", "token": "mine"}


class _Maker:
    """Makes pages that say whose they are; the first ``fails`` are not made."""

    def __init__(self, *, fails: int = 0) -> None:
        self.made, self._fails = 0, fails

    async def __call__(self, page: Mapping[str, object]) -> str:
        self.made += 1
        await asyncio.sleep(0)
        if self.made <= self._fails:
            raise OSError("no space left")
        return f"{page['title']} {page['token']} {page['kernel']}"


async def test_a_page_is_made_once_for_all_who_come_and_filled_for_each() -> None:
    make = _Maker()
    recordings = Recordings(make)
    pages = await asyncio.gather(*(recordings.get(FACTS | {"token": f"t{n}"}) for n in range(20)))
    assert make.made == 1
    filled = [page.filled(token=f"t{n}", kernel_id=f"k{n}") for n, page in enumerate(pages)]
    assert filled == [f"Waves t{n} k{n}" for n in range(20)]


async def test_who_sees_something_else_gets_another_page() -> None:
    make = _Maker()
    recordings = Recordings(make)
    assert await recordings.get(FACTS) is not await recordings.get(FACTS | {"launch": "here"})
    assert make.made == 2


async def test_a_page_that_could_not_be_made_is_tried_again_for_the_next_visitor() -> None:
    recordings = Recordings(_Maker(fails=1))
    with pytest.raises(OSError, match="no space"):
        await recordings.get(FACTS)
    assert (await recordings.get(FACTS)).filled(token="t", kernel_id="k") == "Waves t k"


async def test_who_gives_up_takes_nothing_from_those_who_wait() -> None:
    make = _Maker()
    recordings = Recordings(make)
    first = asyncio.ensure_future(recordings.get(FACTS))
    second = asyncio.ensure_future(recordings.get(FACTS))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).filled(token="t", kernel_id="k") == "Waves t k"
    assert make.made == 1

"""What each server may have of what the site may: fair, and never more in all."""

from __future__ import annotations

import random

import pytest

from vaas.portal.capacity import Capacity, Load, fair


@pytest.mark.parametrize(
    ("total", "wants", "got"),
    [
        (10, {"a": 2, "b": 1}, {"a": 5, "b": 4}),
        (10, {"a": 20, "b": 3}, {"a": 7, "b": 3}),
        (10, {"a": 20, "b": 30}, {"a": 5, "b": 5}),
        (10, {"a": 20, "b": 0}, {"a": 10, "b": 0}),
        (2, {"a": 1, "b": 1, "c": 1}, {"a": 0, "b": 1, "c": 1}),
        (0, {"a": 1}, {"a": 0}),
        (5, {}, {}),
    ],
)
def test_nobody_gets_less_than_they_want_while_another_gets_more(
    total: int, wants: dict[str, int], got: dict[str, int]
) -> None:
    assert fair(total, dict(wants)) == got


def test_what_nobody_wants_is_shared_out_so_that_who_comes_finds_room() -> None:
    capacity = Capacity(visits=10, memory=0)
    assert capacity.share("a", Load(), now=0) == {"site_visits": 10}
    assert capacity.share("a", Load(), now=1) == {"site_visits": 10}
    assert capacity.share("b", Load(), now=1) == {"site_visits": 0}
    assert capacity.share("a", Load(), now=5) == {"site_visits": 5}
    assert capacity.share("b", Load(), now=6) == {"site_visits": 5}


def test_servers_that_use_all_they_may_stay_below_the_limit_together() -> None:
    chance = random.Random(4)
    capacity, names = Capacity(visits=7, memory=0), "abcd"
    pages, may = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for now in range(2000):
        name = chance.choice(names)
        waiting = chance.choice([0, 0, 1, 9])
        may[name] = capacity.share(name, Load(pages[name], waiting), now=now)["site_visits"]
        for each in names:
            if chance.random() < 0.3:
                pages[each] = max(0, pages[each] - 1)
            if pages[each] < may[each] and chance.random() < 0.7:
                pages[each] = may[each]
        assert sum(pages.values()) <= 7


def test_whoever_waits_gets_a_place_in_the_end_even_where_there_are_more_apps_than_places() -> None:
    capacity, names = Capacity(visits=2, memory=0), "abc"
    pages, served = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for now in range(60):
        for name in names:
            may = capacity.share(name, Load(pages[name], 2), now=now)["site_visits"]
            if may > pages[name]:
                served[name] += may - pages[name]
                pages[name] = may
            elif pages[name] and now % 2:
                pages[name] -= 1
    assert min(served.values()) >= 5


def test_a_server_that_is_silent_for_long_has_no_share_and_one_that_ended_at_once() -> None:
    capacity = Capacity(visits=4, memory=0)
    capacity.share("gone", Load(4), now=0)
    assert capacity.share("b", Load(0, 4), now=39) == {"site_visits": 0}
    assert capacity.share("b", Load(0, 4), now=41) == {"site_visits": 4}
    capacity.forget("b")
    capacity.forget("unknown")
    assert capacity.share("c", Load(0, 4), now=42) == {"site_visits": 4}


def test_memory_is_shared_out_in_the_same_way() -> None:
    capacity = Capacity(visits=0, memory=1000)
    assert capacity.share("a", Load(2, 0, 400), now=0) == {"site_memory": 1000}
    assert capacity.share("b", Load(), now=0) == {"site_memory": 0}
    # 400 for two pages: who waits would take 200.
    assert capacity.share("a", Load(2, 1, 400), now=1) == {"site_memory": 800}
    assert capacity.share("b", Load(), now=1) == {"site_memory": 200}


def test_without_limits_there_are_no_shares() -> None:
    assert Capacity(visits=0, memory=0).share("a", Load(5), now=0) == {}


def test_how_many_wait_is_what_the_server_said_last() -> None:
    capacity = Capacity(visits=0, memory=0)
    assert capacity.waiting("a") == 0
    capacity.share("a", Load(pages=1, waiting=3), now=0)
    assert (capacity.waiting("a"), capacity.waiting("b")) == (3, 0)

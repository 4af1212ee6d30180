"""How many more pages an app may open."""

from __future__ import annotations

from vaas.runtime.room import Memory, Room

MB = 1_000_000


def room(*, visits: int = 10, memory: int = 0, seen: Memory | None = None) -> Room:
    made = Room(visits=visits, memory=memory)
    made.see(seen or Memory())
    return made


def test_without_a_limit_of_memory_the_number_counts() -> None:
    assert [room(visits=3).free(pages=pages) for pages in (0, 2, 3, 5)] == [3, 1, 0, 0]
    assert not room().needs_measuring


def test_memory_is_shared_out_by_what_the_open_pages_take() -> None:
    seen = Memory(total=400 * MB, pages=(100 * MB, 100 * MB))
    assert room(memory=700 * MB, seen=seen).free(pages=2) == 3


def test_what_was_opened_since_the_measurement_counts() -> None:
    made = room(memory=700 * MB, seen=Memory(total=400 * MB, pages=(100 * MB, 100 * MB)))
    made.opened()
    made.opened()
    assert made.free(pages=4) == 1
    made.opened()
    assert made.free(pages=5) == 0


def test_what_is_kept_ready_takes_no_room_from_visits() -> None:
    seen = Memory(total=700 * MB, pages=(100 * MB,), spare=(100 * MB, 100 * MB))
    made = room(memory=700 * MB, seen=seen)
    assert made.free(pages=1) == 2
    assert made.ahead == 2


def test_nothing_is_kept_ready_when_there_is_no_room() -> None:
    seen = Memory(total=700 * MB, pages=(300 * MB, 300 * MB), spare=(50 * MB,))
    made = room(memory=700 * MB, seen=seen)
    assert made.ahead == 0
    assert made.free(pages=2) == 0


def test_a_first_page_may_always_be_opened() -> None:
    made = room(memory=100 * MB, seen=Memory(total=200 * MB))
    assert made.free(pages=0) == 1
    assert made.free(pages=1) == 0


def test_the_smaller_of_the_apps_limit_and_its_share_of_the_site_counts() -> None:
    made = room(visits=10)
    made.site_visits = 4
    assert made.free(pages=1) == 3
    made.site_visits = 50
    assert made.free(pages=1) == 9


def test_it_is_known_whether_the_app_is_full_or_the_site() -> None:
    made = room(visits=2)
    assert not made.is_for_others(pages=2)
    made.site_visits = 0
    assert made.is_for_others(pages=0)
    made.site_visits = 1
    assert [made.is_for_others(pages=pages) for pages in (0, 1, 2)] == [False, True, False]
    made.site_visits = 0
    assert made.free(pages=0) == 0


def test_a_share_of_the_sites_memory_counts_like_a_limit() -> None:
    made = room(seen=Memory(total=400 * MB, pages=(100 * MB, 100 * MB)))
    made.site_memory = 500 * MB
    assert made.needs_measuring
    assert made.free(pages=2) == 1
    assert made.excess() is None


def test_the_largest_page_ends_when_all_are_too_large_together() -> None:
    seen = Memory(total=800 * MB, pages=(100 * MB, 500 * MB, 100 * MB))
    assert room(memory=700 * MB, seen=seen).excess() == 1
    assert room(memory=800 * MB, seen=seen).excess() is None


def test_what_is_kept_ready_goes_before_a_page_ends() -> None:
    seen = Memory(total=800 * MB, pages=(300 * MB, 300 * MB), spare=(150 * MB,))
    assert room(memory=700 * MB, seen=seen).excess() is None


def test_the_last_page_stays() -> None:
    seen = Memory(total=800 * MB, pages=(500 * MB,))
    assert room(memory=700 * MB, seen=seen).excess() is None

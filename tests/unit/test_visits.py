"""Visits: who is in, which kernel is whose, what is overdue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vaas.errors import Invalid, Unavailable
from vaas.runtime.visits import PAGES, Page, Patience, Visit, Visits
from vaas.tickets import Ticket

PATIENCE = Patience(lost=60, connect=30, linger=600)


def ticket(user: str = "bob", *, nonce: str = "n1", access: int = 1, expires: float = 100.0) -> Ticket:
    return Ticket("visit", "/user/app-x/v1/", user, ("link-1",), access, nonce, expires)


def visits(*, limit: int = 10, kept: int = 0) -> Visits:
    return Visits(limit=limit, patience=PATIENCE, kept=kept)


def enter(house: Visits, user: str = "bob", *, secret: str = "", now: float = 0.0) -> Visit:
    return house.admit(ticket(user), secret=secret, now=now)[0]


def page_with_kernel(house: Visits, visit: Visit, kernel: str, *, now: float = 0.0) -> Page:
    page = house.open_page(visit, now=now)
    page.kernel = kernel
    return page


def test_a_ticket_is_good_for_one_visit() -> None:
    house = visits()
    house.spend(ticket(), 0)
    with pytest.raises(Invalid):
        house.spend(ticket(), 1)


def test_another_ticket_is_good_too() -> None:
    house = visits()
    house.spend(ticket(nonce="n1"), 0)
    house.spend(ticket(nonce="n2"), 0)


def test_spent_tickets_are_forgotten_only_after_they_have_expired() -> None:
    house = visits()
    house.spend(ticket(expires=10), 0)
    with pytest.raises(Invalid):
        house.spend(ticket(expires=10), 9)
    house.spend(ticket(nonce="other", expires=100), 11)
    house.spend(ticket(expires=100), 12)


def test_a_visit_is_found_by_its_cookie_and_by_nothing_else() -> None:
    house = visits()
    visit = enter(house)
    assert house.find(visit.secret) is visit
    assert house.find(visit.id) is None
    assert house.find("") is None
    assert house.find("ünï") is None


def test_two_visitors_have_two_visits() -> None:
    house = visits()
    assert enter(house).secret != enter(house).secret


def test_who_comes_again_keeps_the_visit_with_what_the_new_ticket_says() -> None:
    house = visits()
    visit = enter(house)
    page = house.open_page(visit, now=0)
    again, ended = house.admit(ticket(access=2, nonce="n2"), secret=visit.secret, now=5)
    assert (again, ended, list(house.pages())) == (visit, [], [page])
    assert again.may_read


def test_another_user_in_the_same_browser_ends_what_the_former_left_open() -> None:
    house = visits()
    bob = enter(house)
    page = house.open_page(bob, now=0)
    carol, ended = house.admit(ticket("carol"), secret=bob.secret, now=5)
    assert ended == [page]
    assert carol.user == "carol"
    assert house.find(bob.secret) is None


def test_a_kernel_is_found_in_its_own_visit_only() -> None:
    house = visits()
    bob, eve = enter(house), enter(house, "eve")
    page = page_with_kernel(house, bob, "k1")
    assert house.page_of(bob, "k1") is page
    assert house.page_of(eve, "k1") is None
    assert house.page_of(None, "k1") is None


def test_a_page_whose_kernel_has_not_started_answers_to_no_kernel() -> None:
    house = visits()
    bob = enter(house)
    house.open_page(bob, now=0)
    assert house.page_of(bob, "") is None


def test_each_load_is_a_page_with_a_token_of_its_own() -> None:
    house = visits()
    bob = enter(house)
    assert house.open_page(bob, now=0).token != house.open_page(bob, now=0).token


def test_no_more_pages_open_than_allowed_and_a_place_is_free_again_when_one_ends() -> None:
    house = visits(limit=2)
    bob, eve = enter(house), enter(house, "eve")
    page = house.open_page(bob, now=0)
    house.open_page(eve, now=0)
    with pytest.raises(Unavailable):
        house.open_page(bob, now=0)
    house.forget(page, why="left", now=1)
    house.open_page(bob, now=1)


def test_one_visit_has_so_many_pages_and_leaves_the_other_places_to_others() -> None:
    house = visits(limit=PAGES + 1)
    bob, eve = enter(house), enter(house, "eve")
    pages = [house.open_page(bob, now=0) for _ in range(PAGES)]
    with pytest.raises(Unavailable, match="close a tab"):
        house.open_page(bob, now=0)
    house.forget(house.open_page(eve, now=0), why="left", now=1)
    house.forget(pages[3], why="left", now=1)
    house.open_page(bob, now=1)


def test_the_oldest_visits_without_a_page_are_dropped_when_they_are_too_many() -> None:
    house = visits(limit=2)
    inside = enter(house, "inside", now=0)
    house.open_page(inside, now=0)
    waiting = [enter(house, f"visitor-{i}", now=i) for i in range(1, 5)]
    assert all(house.find(visit.secret) is visit for visit in [inside, *waiting])
    house.admit(ticket("visitor-1"), secret=waiting[0].secret, now=9)
    newest = enter(house, "newest", now=10)
    assert house.find(waiting[1].secret) is None
    kept = [inside, waiting[0], *waiting[2:], newest]
    assert [visit for visit in kept if house.find(visit.secret) is not visit] == []


def test_a_page_that_is_still_being_rendered_is_not_overdue() -> None:
    house = visits()
    house.open_page(enter(house), now=0)
    assert house.overdue(10_000) == []


def test_a_page_that_never_connects_is_overdue_after_its_rendering() -> None:
    house = visits()
    page = house.open_page(enter(house), now=0)
    house.rendered(page, now=100)
    assert house.overdue(130) == []
    assert house.overdue(131) == [page]


def test_a_page_that_lost_its_websocket_is_overdue_later() -> None:
    house = visits()
    page = house.open_page(enter(house), now=0)
    house.rendered(page, now=1)
    house.connected(page)
    assert house.overdue(10_000) == []
    house.disconnected(page, now=200)
    assert house.overdue(260) == []
    assert house.overdue(261) == [page]


def test_a_page_that_reconnected_is_not_overdue() -> None:
    house = visits()
    page = house.open_page(enter(house), now=0)
    house.connected(page)
    house.disconnected(page, now=1)
    house.connected(page)
    assert house.overdue(10_000) == []


def test_a_page_with_two_websockets_needs_to_lose_both() -> None:
    house = visits()
    page = house.open_page(enter(house), now=0)
    house.connected(page)
    house.connected(page)
    house.disconnected(page, now=1)
    assert house.overdue(10_000) == []


def test_a_page_ends_once() -> None:
    house = visits()
    page = house.open_page(enter(house), now=0)
    assert house.forget(page, why="left", now=1)
    assert not house.forget(page, why="lost", now=2)
    assert page.ended == "left"


def test_ending_a_visit_returns_its_pages_and_voids_its_cookie() -> None:
    house = visits()
    bob = enter(house)
    pages = [house.open_page(bob, now=0), house.open_page(bob, now=0)]
    assert house.end(bob.id, now=1) == pages
    assert house.find(bob.secret) is None
    assert house.end(bob.id, now=1) == []


def test_a_visit_without_pages_lingers_for_a_reload_and_no_longer() -> None:
    house = visits()
    bob = enter(house, now=0)
    house.forget(house.open_page(bob, now=0), why="left", now=100)
    house.overdue(700)
    assert house.find(bob.secret) is bob
    house.overdue(701)
    assert house.find(bob.secret) is None


def test_a_visit_with_a_page_does_not_age() -> None:
    house = visits()
    bob = enter(house, now=0)
    house.connected(house.open_page(bob, now=0))
    house.overdue(100_000)
    assert house.find(bob.secret) is bob


def test_idle_time_runs_from_the_start_until_somebody_comes() -> None:
    house = visits()
    assert house.idle_seconds(started=10, now=25) == 15


def test_there_is_no_idle_time_while_a_page_is_open() -> None:
    house = visits()
    house.open_page(enter(house), now=0)
    assert house.idle_seconds(started=0, now=500) == 0


def test_idle_time_runs_again_after_the_last_page_ended() -> None:
    house = visits()
    house.forget(house.open_page(enter(house), now=0), why="left", now=100)
    assert house.idle_seconds(started=0, now=130) == 30


def test_the_report_names_visits_and_never_their_cookies() -> None:
    house = visits()
    bob = enter(house)
    assert house.report() == [{"id": bob.id, "user": "bob", "links": ["link-1"]}]
    assert bob.secret not in repr(bob)


def test_who_waits_in_line_is_not_dropped_for_others() -> None:
    house = visits(limit=1)
    patient = enter(house, "patient", now=0)
    patient.in_line = True
    others = [enter(house, f"visitor-{i}", now=i) for i in range(1, 5)]
    assert house.find(patient.secret) is patient
    assert [house.lives(visit) for visit in others] == [False, False, False, True]


def test_more_visits_than_there_is_room_for_may_wait() -> None:
    house = visits(limit=1, kept=4)
    waiting = [enter(house, f"visitor-{i}", now=i) for i in range(5)]
    assert [house.lives(visit) for visit in waiting] == [False, True, True, True, True]


def test_who_comes_again_brings_a_new_proof() -> None:
    house = visits()
    first, _ = house.admit(replace(ticket(), proof="one"), secret="", now=0)
    again, _ = house.admit(replace(ticket(nonce="n2"), proof="two"), secret=first.secret, now=1)
    assert again is first and again.proof == "two"
    other, _ = house.admit(replace(ticket("eve"), proof="three"), secret=again.secret, now=2)
    assert other is not first and other.proof == "three" and not house.lives(first)

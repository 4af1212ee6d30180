"""Who may do what: every action, every level, every kind of subject, and what each refusal says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from vaas.errors import Forbidden, NotFound, SignInNeeded
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Grant, User, Visitor
from vaas.policy import ACTIONS, OWNER, access_of, decide, require, subject_title

NOW = datetime(2026, 3, 1, tzinfo=UTC)
APP = App("a1", "waves", "Waves", "ada", "h", NOW, NOW)
BOB = Visitor(User("bob", frozenset({"physics"})))
STRANGER = Visitor(User("eve"))
BY_LINK = Visitor(links=frozenset({"l1"}))
NOBODY = Visitor()
#: subject → a visitor whom it names, and one whom it does not.
SUBJECTS = {
    EVERYONE: (NOBODY, None),
    SIGNED_IN: (STRANGER, NOBODY),
    "user:bob": (BOB, STRANGER),
    "group:physics": (BOB, STRANGER),
    "link:l1": (BY_LINK, BOB),
}
VIEWS = {"see", "open", "ask for access"}
READS = VIEWS | {"read source", "launch", "list versions", "compare versions"}
WRITES = READS | {
    "publish version",
    "roll back",
    "edit",
    "list grants",
    "grant",
    "revoke",
    "answer requests",
    "read log",
}
MAY = {0: set[str](), 1: VIEWS, 2: READS, 3: WRITES, OWNER: set(ACTIONS)}


def grant(subject: str, access: Access = Access.VIEW, *, app: str = "a1", expires: datetime | None = None) -> Grant:
    return Grant(app, subject, access, "ada", NOW, expires)


def test_an_app_that_speaks_for_its_visitors_is_changed_by_nobody() -> None:
    own, grants = replace(APP, speaks=True), [grant("user:bob", Access.WRITE), grant(EVERYONE)]
    for visitor in (BOB, Visitor(User("ada")), Visitor(User("root", admin=True))):
        assert access_of(visitor, own, grants, now=NOW)[0] == Access.READ
        assert {a for a in ACTIONS if decide(visitor, a, own, grants, now=NOW).allowed} == READS
        with pytest.raises(Forbidden, match="comes with the portal"):
            require(visitor, "publish version", own, grants, now=NOW)
    assert access_of(STRANGER, own, grants, now=NOW)[0] == Access.VIEW
    assert access_of(STRANGER, own, [], now=NOW)[0] == 0


def test_the_owner_alone_gives_away_and_withdraws() -> None:
    assert set(ACTIONS) - WRITES == {"give away", "withdraw"}


@pytest.mark.parametrize(("action", "access", "subject"), list(product(ACTIONS, Access, SUBJECTS)))
def test_a_grant_allows_what_its_access_says_to_whom_it_names(action: str, access: Access, subject: str) -> None:
    named, other = SUBJECTS[subject]
    decision = decide(named, action, APP, [grant(subject, access)], now=NOW)
    assert (decision.allowed, decision.access) == (action in MAY[access], access)
    if other is not None:
        assert decide(other, action, APP, [grant(subject, access)], now=NOW).access == 0


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("visitor", [NOBODY, BY_LINK, STRANGER, BOB], ids=["nobody", "link", "stranger", "bob"])
def test_without_a_grant_an_app_is_as_good_as_unknown(action: str, visitor: Visitor) -> None:
    answers = []
    for app in (APP, None):
        with pytest.raises(NotFound) as refused:
            require(visitor, action, app, [], now=NOW)
        answers.append((refused.value.message, refused.value.log_message))
    assert answers[0] == answers[1]
    assert "Waves" not in answers[0][0] and "ada" not in answers[0][0]


@pytest.mark.parametrize("action", ACTIONS)
def test_the_owner_and_an_admin_may_do_everything(action: str) -> None:
    for user in (User("ada"), User("root", admin=True)):
        assert require(Visitor(user), action, APP, [], now=NOW).access == OWNER


def test_an_action_that_the_table_does_not_know_is_an_error_and_never_a_yes() -> None:
    with pytest.raises(KeyError):
        decide(Visitor(User("ada")), "fly", APP, [], now=NOW)


@pytest.mark.parametrize("action", sorted(set(ACTIONS) - VIEWS))
def test_who_may_only_look_is_told_so_or_asked_to_sign_in(action: str) -> None:
    everyone = [grant(EVERYONE)]
    with pytest.raises(SignInNeeded):
        require(NOBODY, action, APP, everyone, now=NOW)
    with pytest.raises(Forbidden) as refused:
        require(STRANGER, action, APP, everyone, now=NOW)
    assert "Waves" in refused.value.message and "ada" in refused.value.message
    assert "eve" in refused.value.log_message


def test_the_highest_of_several_grants_counts() -> None:
    grants = [grant("user:bob", Access.WRITE), grant("group:physics", Access.READ), grant(EVERYONE)]
    for order in (grants, grants[::-1]):
        assert access_of(BOB, APP, order, now=NOW) == (Access.WRITE, "WRITE granted to user:bob by ada")


@pytest.mark.parametrize(("left", "holds"), [(timedelta(microseconds=1), True), (timedelta(0), False)])
def test_a_grant_ends_at_the_moment_it_says(left: timedelta, holds: bool) -> None:
    expiring = [grant("user:bob", Access.WRITE, expires=NOW + left), grant(EVERYONE)]
    assert access_of(BOB, APP, expiring, now=NOW)[0] == (Access.WRITE if holds else Access.VIEW)


def test_a_grant_of_another_app_does_not_count() -> None:
    assert access_of(BOB, APP, [grant("user:bob", Access.WRITE, app="a2")], now=NOW)[0] == 0


def test_names_of_people_groups_and_links_do_not_stand_for_one_another() -> None:
    tricky = Visitor(User("physics", frozenset({"bob", "everyone"})), frozenset({"bob"}))
    assert access_of(tricky, APP, [grant("user:bob"), grant("group:physics"), grant("link:physics")], now=NOW)[0] == 0


def test_nobody_is_not_the_owner_of_an_app_without_one() -> None:
    ownerless = App("a1", "waves", "Waves", "", "h", NOW, NOW)
    assert access_of(NOBODY, ownerless, [], now=NOW)[0] == 0


def test_each_decision_has_its_reason() -> None:
    assert decide(Visitor(User("ada")), "open", APP, [], now=NOW).reason == "is the owner"
    assert decide(Visitor(User("x", admin=True)), "open", APP, [], now=NOW).reason == "is an admin of the Hub"
    assert decide(BY_LINK, "open", APP, [grant("link:l1")], now=NOW).reason == "VIEW granted to link:l1 by ada"
    assert decide(NOBODY, "open", APP, [], now=NOW).reason == "no grant names this visitor"


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        (EVERYONE, "Anyone, without signing in"),
        (SIGNED_IN, "Everyone who can sign in"),
        ("user:bob", "bob"),
        ("group:a:b", "Group a:b"),
        ("link:l1", "Anyone with the link"),
    ],
)
def test_subjects_are_said_in_the_words_of_the_interface(subject: str, title: str) -> None:
    assert subject_title(subject) == title

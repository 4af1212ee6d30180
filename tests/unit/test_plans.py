"""Plans: only what the portal signed, for this server, in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vaas.errors import Forbidden
from vaas.launching import Environment, Size, launch_server
from vaas.model import ServerName
from vaas.plans import Plan, read_plan, sign_plan

MASTER = b"m" * 32
SERVER = ServerName("ada", launch_server("abc123abc123"))
PLAN = Plan(
    SERVER.path,
    100.0,
    "here",
    "local",
    Environment("apps", "Apps", "python", "/opt/python", packages={"numpy": "2.4"}, modules={"np": "numpy"}),
    Size("small", "Small", 0.5, 10**9),
    home="ada",
    shared=("everyone", "physics"),
)


def test_a_plan_comes_back_as_it_was_signed_without_the_list_of_packages() -> None:
    said = read_plan(sign_plan(PLAN, master=MASTER), master=MASTER, server=SERVER, now=99.0)
    assert said == replace(PLAN, environment=replace(PLAN.environment, packages={}, modules={}))


@pytest.mark.attack
@pytest.mark.parametrize("text", [None, "", "a.b", 7, {"plan": 1}, "e30.e30"])
def test_what_is_no_plan_starts_nothing(text: object) -> None:
    with pytest.raises(Forbidden):
        read_plan(text, master=MASTER, server=SERVER, now=0.0)


@pytest.mark.attack
def test_a_plan_is_for_its_own_server_in_its_time_and_of_our_key() -> None:
    text = sign_plan(PLAN, master=MASTER)
    others = (ServerName("eve", SERVER.name), ServerName("ada", "l000000000000"))
    for server in others:
        with pytest.raises(Forbidden):
            read_plan(text, master=MASTER, server=server, now=0.0)
    with pytest.raises(Forbidden):
        read_plan(text, master=MASTER, server=SERVER, now=100.0)
    with pytest.raises(Forbidden):
        read_plan(text, master=b"x" * 32, server=SERVER, now=0.0)
    body, _, signature = text.partition(".")
    for damaged in (f"{body[:-2]}AA.{signature}", f"{body}.{signature[:-1]}", f"{body}.{signature}="):
        with pytest.raises(Forbidden):
            read_plan(damaged, master=MASTER, server=SERVER, now=0.0)

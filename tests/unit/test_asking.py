"""What a kernel's process notices of who asks for its visit; each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PREPARE = """
import json, os, subprocess, sys
import vaas
from vaas.facts import Facts
from vaas.runtime import asking
def show(*values):
    print(json.dumps([sorted(value) if isinstance(value, frozenset) else value for value in values]))
"""
OF_THE_VISIT = {
    "QUERY_STRING": "year=1990&year=2020",
    "SERVER_NAME": "app.example.org",
    "SERVER_SOFTWARE": "voila",
    "VAAS_VISITOR": json.dumps({"name": "bob", "groups": ["physics"]}),
}


def shown(script: str, *, environ: dict[str, str] | None = None) -> list[Any]:
    """Return what the script shows."""
    known = {"PATH": os.environ["PATH"], **(OF_THE_VISIT if environ is None else environ)}
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + script], env=known, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: list[Any] = json.loads(done.stdout)
    return answer


def test_outside_of_an_app_there_is_nobody_and_nothing_fails() -> None:
    script = "v = vaas.visitor(); seen = []; vaas.on_visit(lambda who: seen.append(who.name))\n"
    script += "show(v.name, v.groups, v.signed_in, dict(v.query), seen, type(os.environ).__name__)"
    assert shown(script, environ={}) == [None, [], False, {}, [None], "_Environ"]


def test_importing_vaas_costs_nothing_and_does_nothing() -> None:
    script = "import sys\nbefore = set(sys.modules); import vaas; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["vaas"]


def test_a_visit_is_known_from_the_kernels_start() -> None:
    script = "asking.install(); v = vaas.visitor()\n"
    script += "show(v.name, v.groups, v.signed_in, dict(v.query), v.query.all('year'), os.environ.get('VAAS_VISITOR'))"
    assert shown(script) == ["bob", ["physics"], True, {"year": "2020"}, ["1990", "2020"], None]


def test_the_visitor_cannot_be_changed() -> None:
    script = """
asking.install()
failed = []
for name, value in {"name": "eve", "groups": (), "query": {}, "other": 1}.items():
    try:
        setattr(vaas.visitor(), name, value)
    except AttributeError:
        failed.append(name)
show(failed, vaas.visitor().name)
"""
    assert shown(script) == [["name", "groups", "query", "other"], "bob"]


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("vaas.visitor()", []),
        ("vaas.visitor().query", ["query"]),
        ("vaas.visitor().name", ["visitor"]),
        ("vaas.visitor().groups", ["visitor"]),
        ("vaas.visitor().signed_in", ["visitor"]),
        ("repr(vaas.visitor())", ["query", "visitor"]),
        ("os.environ['QUERY_STRING']", ["query"]),
        ("os.environ.get('QUERY_STRING')", ["query"]),
        ("os.getenv('QUERY_STRING')", ["query"]),
        ("os.environb[b'QUERY_STRING']", ["query"]),
        ("os.environ.pop('QUERY_STRING')", ["query"]),
        ("'VOILA_REQUEST_URL' in os.environ", ["request"]),
        ("os.getenv('SERVER_NAME')", ["request"]),
        ("list(os.environ); os.environ['QUERY_STRING']", ["query"]),
        ("dict(os.environ); os.environ['QUERY_STRING']", ["query"]),
        ("list(os.environ); os.environ['PATH']; os.environ['QUERY_STRING']", ["query"]),
        ("[v for k, v in os.environ.items()]; os.environ['QUERY_STRING']", ["query"]),
        ("os.environ['PATH'], os.getenv('SERVER_SOFTWARE'), os.getenv('HOME')", []),
        ("dict(os.environ)", []),
        ("{**os.environ}", []),
        ("os.environ.copy()", []),
        ("os.environ | {'A': 'b'}", []),
        ("list(os.environ.items())", []),
        ("list(os.environ.values())", []),
        ("dict(os.environb)", []),
        ("repr(os.environ)", []),
        ("len(os.environ)", []),
        ("subprocess.run(['true'])", []),
        ("subprocess.run(['true'], env={**os.environ, 'A': 'b'})", []),
        ("os.environ['QUERY_STRING'] = 'mine'", []),
    ],
)
def test_who_asks_is_noticed_and_who_copies_is_not(code: str, asked: list[str]) -> None:
    assert shown(f"asking.install(); {code}; show(asking.asked())") == [asked]


def test_a_copy_has_everything() -> None:
    script = "asking.install(); show(dict(os.environ)['QUERY_STRING'], subprocess.run(['env'], "
    script += "env=dict(os.environ), capture_output=True, text=True).stdout.count('SERVER_NAME=app.example.org'))"
    assert shown(script) == ["year=1990&year=2020", 1]


def test_a_template_knows_nothing_until_the_visit_begins() -> None:
    script = """
asking.install(template=True)
seen, v = [], vaas.visitor()
@vaas.on_visit
def reopen(who):
    seen.append([who.name, dict(who.query), os.environ["QUERY_STRING"]])
before = [v.name, dict(v.query), os.environ["QUERY_STRING"], "SERVER_NAME" in os.environ, os.environ["SERVER_SOFTWARE"]]
early = list(seen)
asking.begin(Facts("a=1", "eve", ("staff",), {"SERVER_NAME": "new"}))
show(before, early, seen, [v.name, dict(v.query), os.environ["SERVER_NAME"]], callable(reopen))
"""
    before, early, seen, after, decorated = shown(script)
    assert before == [None, {}, "", False, "voila"]
    assert early == []
    assert seen == [["eve", {"a": "1"}, "a=1"]]
    assert after == ["eve", {"a": "1"}, "new"]
    assert decorated


def test_nothing_is_left_of_the_visit_before() -> None:
    script = "asking.install(); asking.begin(Facts()); v = vaas.visitor()\n"
    script += "show(v.name, v.groups, dict(v.query), os.environ['QUERY_STRING'], 'SERVER_NAME' in os.environ)"
    assert shown(script) == [None, [], {}, "", False]


def test_what_fails_at_the_beginning_of_a_visit_keeps_nobody_else_from_it() -> None:
    script = """
asking.install(template=True)
seen = []
vaas.on_visit(lambda who: 1 / 0)
vaas.on_visit(lambda who: seen.append(who.name))
vaas.on_visit(lambda who: time.sleep(0.1))
import time
first, again = asking.begin(Facts(name="eve")), asking.begin(Facts(name="eve"))
((name, trace),) = first.failed
show(seen, name, "<lambda>" in trace and "1 / 0" not in name, first.seconds > 0.05, again == asking.Beginning())
"""
    assert shown(script) == [["eve"], "ZeroDivisionError", True, True, True]


def test_where_the_visit_has_begun_a_function_is_called_at_once() -> None:
    assert shown("asking.install(); seen = []; vaas.on_visit(lambda w: seen.append(w.name)); show(seen)") == [["bob"]]


def test_a_query_with_far_too_many_parameters_is_none() -> None:
    script = "asking.install(); show(len(vaas.visitor().query))"
    assert shown(script, environ={"QUERY_STRING": "&".join(f"a{i}=1" for i in range(5000))}) == [0]


def test_reading_the_environment_stays_cheap() -> None:
    script = """
import timeit
def cost():
    return min(timeit.repeat(lambda: os.environ.get("PATH"), number=20_000, repeat=5)) / 20_000
plain = cost()
asking.install()
show(plain * 1e6, cost() * 1e6)
"""
    plain, watched = shown(script)
    assert watched < 4 * plain + 2  # microseconds


def test_a_basket_is_empty_where_nobody_hands_one_over_and_that_counts_as_asked() -> None:
    outside = "show(list(vaas.basket()), vaas.basket().name, len(vaas.basket().tables))"
    assert shown(outside, environ={}) == [[], "", 0]
    inside = "asking.install(template=True)\nshow(list(vaas.basket()), asking.asked())"
    assert shown(inside) == [[], ["basket"]]
    # Which one it is, is for the visitor to say.
    assert shown("asking.install()\nshow(list(vaas.basket('abc')), asking.asked())") == [[], ["basket"]]
    unknown = "try: vaas.basket('abc')\nexcept Exception as error: show(type(error).__name__, str(error)[:20])"
    assert shown(unknown, environ={}) == ["PortalError", "Say which portal to "]

"""The dashboard's widget in the app environment: when it asks, and what it sends to the page."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hub_service.settings import ROOT
from tests.portal_fixture import app_python

pytestmark = pytest.mark.app
WIDGETS = ROOT / "vaas" / "widgets"
PARTS = sorted(WIDGETS.glob("*.vue"))
_BEGIN = """
import json
from tests.small_portal import SmallPortal
from vaas.client import PortalError
from vaas.facts import Facts
from vaas.runtime import asking
from vaas.widgets.discovery import Discovery

portal, told = SmallPortal(), []
def asked():
    return [verb for verb, _ in portal.log]
"""


def run(code: str) -> Any:
    """Run the code where the kernels run, and return what it shows."""
    command = [str(app_python()), "-c", f"{_BEGIN}\n{code}\nprint(json.dumps(shown))"]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_is_asked_before_a_visit_begins_and_then_what_the_address_says() -> None:
    shown = run(
        "asking.install(template=True)\n"
        "page = Discovery(lambda: portal)\n"
        "before, query, state = asked(), sorted(asking.asked()), page.answer['state']\n"
        "asking.begin(Facts('q=tide+type%3Adata&x=1'))\n"
        "shown = [before, query, state, portal.log, page.answer['q'], page.answer['state'], page.answer['n']]"
    )
    before, query, state, log, q, after, number = shown
    # A template that had asked for the query would be run again for every visit with one.
    assert (before, query, state) == ([], [], "")
    assert log[0] == ["search", "in:here tide type:data"]
    assert (q, after, number) == ("tide type:data", "ok", 1)


def test_a_portal_that_cannot_be_asked_is_shown_as_such() -> None:
    shown = run(
        "def nowhere():\n    raise PortalError('No portal is here.')\n"
        "page = Discovery(nowhere)\npage.vue_arrive({})\nshown = [page.answer, page.mine]"
    )
    assert (shown[0]["state"], shown[0]["why"]) == ("failed", "No portal is here.")
    assert shown[1] == {"state": "failed", "signed_in": False, "why": "No portal is here."}


def test_what_nobody_has_thought_of_is_an_answer_too() -> None:
    shown = run(
        "def broken():\n    return 1 / 0\npage = Discovery(broken)\n"
        "page.send = lambda content, buffers=None: told.append(content['args'][0])\n"
        "page.vue_arrive({})\npage.vue_search({'q': 'tide', 'typing': True, 'n': 2})\n"
        "page.vue_keep({'do': 'add', 'key': 'here x'})\n"
        "shown = [page.answer['state'], page.answer['n'], page.mine['state'], page.guesses['words'], told]"
    )
    assert shown[:4] == ["failed", 2, "failed", []]
    assert shown[4][0]["bad"] and "division" not in shown[4][0]["text"]


def test_one_letter_is_one_question_and_one_answer() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\nportal.log.clear()\n"
        "page.observe(lambda change: told.append(change['name']))\n"
        "page.vue_search({'q': 'gla', 'typing': True, 'outside': False, 'n': 2})\n"
        "shown = [asked(), told, page.answer['n'], page.answer['q'], page.guesses]"
    )
    assert shown[:4] == [["search", "suggest"], ["answer", "guesses"], 2, "gla"]
    assert shown[4] == {"q": "gla", "words": ["glacier"]}


def test_a_facet_and_a_bound_change_what_was_typed() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\nsaid = []\n"
        "page.vue_turn({'q': 'tide', 'field': 'type', 'value': 'data', 'n': 2})\nsaid.append(page.answer['q'])\n"
        "page.vue_bound({'q': page.answer['q'], 'after': '2025-01-01', 'before': '2026-01-01', 'n': 3})\n"
        "shown = [*said, page.answer['q'], page.answer['n']]"
    )
    assert shown == ["tide type:data", "tide type:data after:2025-01-01 before:2026-01-01", 3]


def test_years_are_asked_of_the_portal() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\n"
        "page.vue_bound_years({'q': 'tide', 'first': 1990, 'last': 2000, 'n': 2})\nsaid = [page.answer['q']]\n"
        "page.vue_bound_years({'q': page.answer['q'], 'first': '', 'last': '', 'n': 3})\n"
        "shown = [*said, page.answer['q'], portal.log[-2:]]"
    )
    assert shown[:2] == ["tide year:1990..2000", "tide"]
    assert ["search", "in:here tide"] in shown[2]


def test_pages_that_were_scrolled_to_stay_when_others_answer() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\npage.vue_search({'q': 'climate', 'outside': False, 'n': 2})\n"
        "page.vue_next({})\nbefore = [card['key'] for card in page.answer['records'] + page.later['records']]\n"
        "page.vue_search({'q': 'climate', 'outside': True, 'n': 3})\n"
        "after = [card['key'] for card in page.answer['records']]\n"
        "shown = [len(before), after[:len(before)] == before, page.later, len(after) > len(before)]"
    )
    assert shown == [60, True, {"n": 3, "records": [], "more": False}, True]


def test_more_pages_are_added_and_a_new_question_begins_without_them() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\nsizes = []\n"
        "for _ in range(2):\n    page.vue_next({})\n    sizes.append(len(page.later['records']))\n"
        "page.vue_search({'q': 'tide', 'n': 2})\nshown = [sizes, page.later]"
    )
    assert shown == [[30, 60], {"n": 2, "records": [], "more": False}]


def test_pages_that_do_not_come_are_said_each_time() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\n"
        "def away(verb):\n    raise PortalError('The portal is away.')\nportal._before = away\n"
        "page.observe(lambda change: told.append(change['new']['why']), 'later')\n"
        "page.vue_next({})\npage.vue_next({})\nshown = told"
    )
    assert shown == ["The portal is away.", "The portal is away."]


def test_what_is_known_of_a_record_comes_before_what_is_inside() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\n"
        "page.observe(lambda change: told.append(change['new']), 'looked')\n"
        "page.vue_look({'key': page.answer['records'][0]['key']})\npage.vue_look({'key': 'here nothing'})\nshown = told"
    )
    assert [bool(each["inside"]) for each in shown] == [False, True, True]
    assert shown[2]["about"] is None and "not among the results" in shown[2]["inside"]["why"]
    assert shown[0]["about"]["actions"] and shown[0]["about"]["facts"]


def test_what_cannot_be_done_is_said() -> None:
    shown = run(
        "page = Discovery(lambda: portal)\npage.send = lambda content, buffers=None: told.append(content)\n"
        "page.vue_arrive({})\npage.vue_keep({'do': 'share', 'subjects': ['everybody']})\n"
        "page.vue_keep({'do': 'add', 'key': page.answer['records'][0]['key'], 'say': 'Added.'})\nshown = told"
    )
    assert [each["args"][0]["bad"] for each in shown] == [True, False]
    assert "nobody here" in shown[0]["args"][0]["text"]


#: A portal whose other catalogs answer when they are told to, and a page in a loop.
_SLOW = """
import asyncio, threading
answering = threading.Event()
def others(verb):
    if verb == 'search' and not portal.log[-1][1].startswith(('in:here', 'catalog:here')):
        assert answering.wait(20)
def hang(verb):
    assert verb != 'preview' or answering.wait(20)
portal._before = others
async def until(fits):
    async with asyncio.timeout(20):
        while not fits():
            await asyncio.sleep(0.005)
async def main():
    page = Discovery(lambda: portal)
    page.vue_search({'q': 'climate', 'typing': True, 'n': 2})
    return await use(page)
"""


def beside(use: str) -> Any:
    """Run what uses a page whose other catalogs hang, and return what it returns."""
    body = "\n".join(f"    {line}" for line in use.splitlines())
    return run(f"{_SLOW}\nasync def use(page):\n{body}\nshown = asyncio.run(main())")


def test_a_letter_is_answered_while_other_catalogs_are_asked_and_they_change_nothing_then() -> None:
    shown = beside(
        "page.vue_search({'q': 'climate', 'outside': True, 'n': 3})\n"
        "told.append([page.beside, page.answer['n']])\n"
        "page.vue_search({'q': 'tide', 'typing': True, 'n': 4})\n"
        "told.append([page.answer['n'], page.answer['q'], page.answer['outside'], page.guesses['q']])\n"
        "answering.set()\nawait until(lambda: threading.active_count() == 1)\nawait asyncio.sleep(0.05)\n"
        "told.append([page.answer['n'], page.answer['q']])\n"
        "page.vue_search({'q': 'tide*', 'outside': True, 'n': 5})\nawait until(lambda: page.answer['n'] == 5)\n"
        "told.append([page.answer['outside'], len(page.answer['late']['from'])])\nreturn told"
    )
    assert shown == [[3, 2], [4, "tide", False, "tide"], [4, "tide"], [True, 1]]


def test_pages_previews_and_what_is_kept_come_while_other_catalogs_are_asked() -> None:
    shown = beside(
        "page.vue_search({'q': 'climate', 'typing': True, 'outside': True, 'n': 3})\n"
        "page.vue_arrive({})\npage.vue_next({})\n"
        "page.vue_look({'key': page.answer['records'][0]['key']})\n"
        "await until(lambda: page.looked['inside'])\n"
        "told.append([page.mine['state'], len(page.later['records']), page.answer['n']])\n"
        "before = [card['key'] for card in page.answer['records'] + page.later['records']]\n"
        "answering.set()\nawait until(lambda: page.answer['n'] == 3)\n"
        "after = [card['key'] for card in page.answer['records']]\n"
        "told.append([after[:60] == before, len(after) > 60, page.later])\nreturn told"
    )
    assert shown == [["ok", 30, 2], [True, True, {"n": 3, "records": [], "more": False}]]


def test_pages_of_other_catalogs_are_not_waited_for_nor_shown_in_another_list() -> None:
    shown = beside(
        "answering.set()\npage.vue_search({'q': 'climate', 'outside': True, 'n': 3})\n"
        "await until(lambda: page.answer['n'] == 3)\nanswering.clear()\n"
        "page.vue_next({})\ntold.append(page.later['records'])\n"
        "page.vue_search({'q': 'tide', 'typing': True, 'n': 4})\ntold.append(page.answer['q'])\n"
        "answering.set()\nawait until(lambda: threading.active_count() == 1)\nawait asyncio.sleep(0.05)\n"
        "told.append(page.later['records'])\npage.vue_search({'q': 'climate', 'outside': True, 'n': 5})\n"
        "await until(lambda: page.answer['n'] == 5)\npage.vue_next({})\nawait until(lambda: page.later['records'])\n"
        "told.append([len(page.later['records']), page.later['n']])\nreturn told"
    )
    assert shown == [[], "tide", [], [30, 5]]


def test_a_preview_that_takes_long_holds_up_nothing_and_is_not_shown_for_another_record() -> None:
    shown = beside(
        "portal._before = hang\n"
        "one, two = [card['key'] for card in page.answer['records'][:2]]\n"
        "page.vue_look({'key': one})\npage.vue_search({'q': 'tide', 'typing': True, 'n': 3})\n"
        "told.append([page.answer['q'], page.looked['key'] == one, page.looked['inside']])\n"
        "portal._before = lambda verb: None\nkey = page.answer['records'][0]['key']\npage.vue_look({'key': key})\n"
        "await until(lambda: page.looked['inside'])\nanswering.set()\n"
        "await until(lambda: threading.active_count() == 1)\nawait asyncio.sleep(0.05)\n"
        "told.append(page.looked['key'] == key)\nreturn told"
    )
    assert shown == [["tide", True, None], True]


def test_who_names_another_catalog_waits_for_it_alone() -> None:
    shown = beside(
        "page.vue_search({'q': 'in:zenodo tide', 'typing': True, 'n': 3})\n"
        "told.append([page.beside, page.answer['q']])\n"
        "page.vue_search({'q': 'in:here ti', 'typing': True, 'n': 4})\n"
        "told.append([page.beside, page.answer['q'], page.answer['n'], page.answer['state']])\n"
        "page.vue_search({'q': 'in:zenodo tide', 'typing': True, 'n': 5})\nanswering.set()\n"
        "await until(lambda: page.answer['n'] == 5)\n"
        "told.append(sorted({card['catalog'] for card in page.answer['records']}))\nreturn told"
    )
    assert shown == [[3, "climate"], [3, "in:here ti", 4, "ok"], ["zenodo"]]


def test_a_page_does_not_wait_for_others_before_it_is_there() -> None:
    shown = run(
        "asking.install(template=True)\npage = Discovery(lambda: portal)\n"
        "asking.begin(Facts('q=in%3Azenodo+tide'))\nshown = [asked(), page.answer]"
    )
    assert shown == [[], {"state": "", "n": 0, "q": "in:zenodo tide"}]


def test_the_notebook_only_imports_constructs_and_shows() -> None:
    cells = json.loads((ROOT / "dashboards" / "discovery.ipynb").read_text())["cells"]
    lines = [line for cell in cells for line in "".join(cell["source"]).splitlines() if not line.startswith("#")]
    assert len(lines) <= 6 and lines[-1] == "Discovery(here)"
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)


@pytest.mark.parametrize("part", PARTS, ids=lambda path: path.name)
def test_the_page_shows_what_people_wrote_as_text_and_asks_nobody_outside(part: Path) -> None:
    text = part.read_text(encoding="utf-8")
    assert not re.search(r"v-html|innerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert re.findall(r"https?://[^\s\"'`]+", text) == []


@pytest.mark.parametrize("part", [part for part in PARTS if part.name != "discovery.vue"], ids=lambda path: path.name)
def test_parts_survive_the_way_in_which_a_browser_reads_them(part: Path) -> None:
    """A browser writes the names of attributes in small letters: what a part binds must not need others."""
    template = part.read_text(encoding="utf-8").partition("<script>")[0]
    assert re.findall(r"\s[:@][a-z-]*[A-Z]\w*=", template) == []
    assert template.count("<template>") >= 1


def test_all_parts_are_used_and_travel_with_the_package() -> None:
    named = run("from vaas.widgets import discovery\nshown = list(discovery._PARTS)")
    assert sorted(f"{name}.vue" for name in [*named, "discovery"]) == [part.name for part in PARTS]
    said = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for pattern in ("widgets/*.vue", "widgets/*.css", "widgets/*.json"):
        assert f'"{pattern}"' in said

"""Runs over HTTP: the form, the table, schedules, the pages of a run and REST, and that all of it is one's own."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.own_servers import OFFERING
from tests.portal_parts import ADA, BOB, PUBLIC_URL, World
from tests.run_desk import (
    AS_ADA,
    AS_BOB,
    ASKED,
    CELLS,
    FORM,
    HOSTILE,
    ada,
    becomes,
    ended,
    going,
    kept,
    started,
    writes,
)
from tests.unit.test_handlers import client
from tests.unit.test_launch_pages import places
from vaas.launching import Environment
from vaas.model import Access

__all__ = ["ada"]


class TestTheForm:
    async def test_it_is_made_from_the_parameters(self, ada: httpx.AsyncClient) -> None:
        page = (await ada.get(FORM)).text
        assert re.search(r'name="value\.n" value="3"', page)
        assert re.search(r'name="value\.height" value="1\.5"', page)
        assert re.search(r'<option value="yes" selected>Yes', page)
        assert re.search(r'name="value\.levels"[^>]*>\[1, 2\]</textarea>', page)
        assert re.search(r'<select id="f-value\.table" name="thing\.table"', page)
        assert "how many &lt;b&gt;waves&lt;/b&gt;" in page and "<b>waves" not in page
        assert "Small: 1 core" in page and re.search(r'name="facility"[^>]* value="here" checked', page)

    async def test_an_app_is_run_by_who_may_read_it(self, ada: httpx.AsyncClient, world: World, site: str) -> None:
        app = await world.published(ADA, *CELLS, to=("user:bob",), title="Waves")
        page = f"runs/new?app={app.slug}"
        assert (await ada.get(page)).status_code == 200
        assert f'href="/services/vaas/{page}"' in (await ada.get(f"apps/{app.slug}/")).text
        async with client(site, "bob") as bob, client(site, "eve") as eve:
            assert (await bob.get(page)).status_code == 403
            assert page not in (await bob.get(f"apps/{app.slug}/")).text
            assert (await eve.get(page)).status_code == 404
            answer = await eve.post("api/runs", json={"app": app.slug})
            assert answer.status_code == 404
            await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
            assert (await bob.get(page)).status_code == 200

    async def test_a_notebook_in_my_files_leads_there(self, ada: httpx.AsyncClient) -> None:
        assert "runs/new?store=home&amp;path=lab/waves.ipynb" in (await ada.get("files/home/lab/waves.ipynb")).text

    @pytest.mark.parametrize(("address", "status"), [("runs/new", 400), ("runs/new?store=home&path=none.ipynb", 404)])
    async def test_without_a_notebook_there_is_none(self, ada: httpx.AsyncClient, address: str, status: int) -> None:
        assert (await ada.get(address)).status_code == status

    async def test_what_is_filled_in_is_run(self, ada: httpx.AsyncClient, world: World) -> None:
        said = {**ASKED, "value.n": "5", "value.height": "2", "value.fast": "false", "value.name": "", "title": "Five"}
        said |= {"value.levels": "[3]", "thing.table": "store:home/", "file.table": "lab/sea.csv"}
        said |= {"facility": "here", "size-here": "large"}
        answer = await ada.post("runs/new", data=said)
        (run,) = kept(world)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/services/vaas/runs/{run.id}/")
        assert (run.title, run.size) == ("Five", "large")
        assert {name: run.parameters[name] for name in ("n", "height", "fast", "name", "levels")} == {
            "n": 5,
            "height": 2,
            "fast": False,
            "name": "",
            "levels": [3],
        }

    async def test_blanks_where_a_number_goes_are_nothing(self, ada: httpx.AsyncClient, world: World) -> None:
        answer = await ada.post("runs/new", data={**ASKED, "value.n": "  ", "value.height": " 2 "})
        (run,) = kept(world)
        assert (answer.status_code, "n" in run.parameters, run.parameters["height"]) == (303, False, 2.0)

    async def test_a_value_is_called_the_same_wherever_it_is_shown(self, ada: httpx.AsyncClient, world: World) -> None:
        table = {**ASKED, "how": "table", "table": "fast,n\nTRUE,1\nno,2\n"}
        checked = (await ada.post("runs/new", data={**table, "do": "check"})).text
        assert "<td>yes</td>" in checked and "<td>no</td>" in checked
        await ada.post("runs/new", data=table)
        fast, slow = kept(world)
        series = (await ada.get(f"runs/series/{fast.series}")).text
        assert "<td>yes</td>" in series and "<td>no</td>" in series
        becomes(world, fast, series="", state="done", ended=world.clock())
        assert re.search(r'value-name">fast</span> yes<', (await ada.get("runs/")).text)
        assert re.search(r"<code>fast</code></dt><dd>yes</dd>", (await ada.get(f"runs/{fast.id}/")).text)
        assert '<option value="no" selected>No' in (await ada.get(f"runs/new?again={slow.id}")).text

    async def test_what_is_wrong_is_said_at_each_field_and_nothing_starts(
        self, ada: httpx.AsyncClient, world: World
    ) -> None:
        said = {
            **ASKED,
            "value.n": "many",
            "value.levels": HOSTILE,
            "value.name": HOSTILE,
            "thing.table": "store:home/",
        }
        answer = await ada.post("runs/new", data=said)
        assert (answer.status_code, kept(world)) == (400, [])
        for field in ("n", "levels", "table"):
            assert f'id="f-value.{field}-error"' in answer.text and f'href="#f-value.{field}"' in answer.text
        assert 'value="many"' in answer.text and "<script>alert" not in answer.text and "49" not in answer.text

    async def test_a_choice_that_cannot_be_is_said_at_its_field(self, ada: httpx.AsyncClient, world: World) -> None:
        answer = await ada.post("runs/new", data={**ASKED, "facility": "here", "size-here": "giant"})
        assert (answer.status_code, kept(world)) == (400, [])
        assert 'id="f-facility-error"' in answer.text and "not offered here" in answer.text

    async def test_what_cannot_be_chosen_says_why(self, ada: httpx.AsyncClient, world: World) -> None:
        picture = Environment("box", "In a box", "image", "registry.example.org/box:1", state="ready")
        here, *others = OFFERING.facilities
        here = replace(here, environments=(*here.environments, "box"))
        world.core.offering = replace(
            OFFERING, facilities=(*others, here), environments=(*OFFERING.environments, picture)
        )
        page = (await ada.get(FORM)).text
        assert list(places(page).items()) == [
            ("here", "Your files are there."),
            ("cluster!", "It is for members of physics."),
            ("nights!", "It takes no batch jobs."),
        ], "what can be chosen is first"
        assert re.search(r'<option value="deep" disabled>', page) and "It is not mounted." in page
        assert re.search(r'<option value="box" disabled>', page) and "no containers run here. Choose another" in page
        form = (await ada.get("api/runs/form", params=ASKED)).json()
        assert [(each["id"], each["environments"]) for each in form["facilities"]] == [("here", ["apps"])]
        assert {each["id"]: each["why"] for each in form["closed"]}["cluster"] == "It is for members of physics."
        for sent, why in (
            ({"facility": "cluster"}, "It is for members of physics."),
            ({"facility": "here", "environment-here": "deep"}, "It is not mounted."),
            ({"facility": "here", "environment-here": "box"}, "no containers run here."),
        ):
            answer = await ada.post("runs/new", data={**ASKED, **sent})
            assert (answer.status_code, kept(world)) == (403, [])
            assert why in re.search(r'role="alert".*?</ul>', answer.text, re.S)[0]  # type: ignore[index]

    async def test_where_nobody_may_run_it_there_is_nothing_to_press(
        self, ada: httpx.AsyncClient, world: World
    ) -> None:
        (here,) = world.core.offering.facilities
        world.core.offering = replace(world.core.offering, facilities=(replace(here, groups=("chemistry",)),))
        page = (await ada.get(FORM)).text
        assert "It is for members of chemistry." in page and 'value="start"' not in page

    async def test_enter_in_a_field_starts_it_though_the_form_s_first_button_checks_a_table(
        self, ada: httpx.AsyncClient, world: World
    ) -> None:
        page = (await ada.get(FORM)).text
        first = re.search(r'<button[^>]*type="submit"[^>]*name="do" value="(\w+)"', page)
        assert first and first[1] == "check"
        answer = await ada.post("runs/new", data={**ASKED, "how": "once", "do": first[1]})
        assert answer.headers["Location"] == f"/services/vaas/runs/{kept(world)[0].id}/"


class TestATable:
    async def test_it_is_checked_row_by_row_before_anything_starts(self, ada: httpx.AsyncClient, world: World) -> None:
        table = f"n,name\n1,a\nmany,b\n2,c,d\n{HOSTILE},e"
        answer = await ada.post("runs/new", data={**ASKED, "how": "table", "table": table})
        assert (answer.status_code, kept(world)) == (400, [])
        wrong = re.findall(r"<li>(Row [^<]*)</li>", answer.text)
        assert [line.partition(":")[0] for line in wrong] == ["Row 3", "Row 4", "Row 5"]
        assert "many" in wrong[0] and "3 cells for 2 columns" in wrong[1]
        assert "Nothing was started: 3 things are wrong" in answer.text and "<script>alert" not in answer.text

    async def test_checking_starts_nothing_and_shows_the_rows(self, ada: httpx.AsyncClient, world: World) -> None:
        said = {**ASKED, "how": "table", "table": "n\tname\n1\tone\n2\t", "do": "check", "value.name": "sea"}
        answer = await ada.post("runs/new", data=said)
        assert (answer.status_code, kept(world)) == (200, [])
        assert "2 rows are fine" in answer.text and "<td>one</td>" in answer.text and "as in the form" in answer.text

    async def test_each_row_is_a_run(self, ada: httpx.AsyncClient, world: World) -> None:
        said = {**ASKED, "how": "table", "value.height": "9", "value.name": "sea"}
        file = {"file": ("table.csv", b"\xef\xbb\xbfn;name\r\n1;one\r\n2;\r\n", "text/csv")}
        answer = await ada.post("runs/new", data=said, files=file)
        runs = kept(world)
        assert answer.headers["Location"] == f"/services/vaas/runs/series/{runs[0].series}"
        assert sorted((run.parameters["n"], run.parameters["name"], run.parameters["height"]) for run in runs) == [
            (1, "one", 9.0),
            (2, "sea", 9.0),
        ]
        page = (await ada.get(f"runs/series/{runs[0].series}")).text
        assert "2 waiting" in page and all(f"runs/{run.id}/" in page for run in runs)
        listed = (await ada.get("runs/")).text
        assert "2 runs over a table" in listed and f"runs/{runs[0].id}/" not in listed
        ends = "shared with nobody any more"
        for shared in ((), ("user:bob",)):
            with world.core.database.begin() as records:
                for run in kept(world):
                    records.runs.save(replace(run, state="done", shared_with=shared))
            for page in (f"runs/series/{runs[0].series}", f"runs/{runs[0].id}/"):
                assert (ends in (await ada.get(page)).text) is bool(shared)

    async def test_a_file_of_a_spreadsheet_is_read_as_it_is_written(self, ada: httpx.AsyncClient, world: World) -> None:
        table = "# Versuche\r\nn;height;name\r\n1;2,5;Größe 2,5\r\n2;1;\r\n".encode("cp1252")
        await ada.post("runs/new", data={**ASKED, "how": "table"}, files={"file": ("werte.csv", table, "text/csv")})
        assert [(run.parameters["height"], run.parameters.get("name")) for run in kept(world)] == [
            (2.5, "Größe 2,5"),
            (1.0, None),
        ]

    async def test_each_row_has_its_own_data(self, ada: httpx.AsyncClient, world: World) -> None:
        world.put(ADA, "lab/lake ü.csv", "a\n1\n")
        said = {**ASKED, "how": "table", "table": "table\nstore:home/lab/lake ü.csv\nstore:home/lab/sea.csv\n"}
        answer = await ada.post("runs/new", data=said)
        page = (await ada.get(answer.headers["Location"].partition("/vaas/")[2])).text
        assert "<td>lake ü.csv</td>" in page and "<td>sea.csv</td>" in page and "<code>table</code>" in page
        refused = await ada.post("runs/new", data={**said, "table": "table\nstore:home/lab/gone.csv\n"})
        assert (refused.status_code, len(kept(world))) == (400, 2)
        assert "Row 2, column “table”" in re.search(r'id="f-table-error".*?</p>', refused.text, re.S)[0]  # type: ignore[index]

    async def test_rows_are_counted_in_one_way(self, ada: httpx.AsyncClient, world: World) -> None:
        table = "n;height;what\nmany;2,5;\n2;1;x\n3;high;\n"
        page = (await ada.post("runs/new", data={**ASKED, "how": "table", "table": table})).text
        wrong = [html.unescape(line) for line in re.findall(r"<li>(Row [^<]*)</li>", page)]
        assert [line.partition(":")[0] for line in wrong] == ["Row 1, column “what”", "Row 2", "Row 4"]
        answer = await ada.post("api/runs/series", json={**ASKED, "table": table})
        assert (answer.status_code, answer.json()["error"]["message"].splitlines()[1:]) == (400, wrong)
        rows = [{"n": "many", "height": 2.5}, {"n": 2, "height": 1}, {"n": 3, "height": "high"}]
        answer = await ada.post("api/runs/series", json={**ASKED, "table": rows})
        told = answer.json()["error"]["message"].splitlines()[1:]
        assert [line.partition(":")[0] for line in told] == ["Row 2", "Row 4"] and kept(world) == []
        answer = await ada.post("api/runs/series", json={**ASKED, "table": "n;height\n1;2,5\n\n2;3\n"})
        assert (answer.status_code, [run.parameters["height"] for run in kept(world)]) == (201, [2.5, 3.0])

    @pytest.mark.parametrize("table", [None, 7, ["n"], {"n": 1}])
    async def test_what_is_no_table_is_refused(self, ada: httpx.AsyncClient, world: World, table: object) -> None:
        answer = await ada.post("api/runs/series", json={**ASKED, "table": table})
        assert (answer.status_code, kept(world)) == (400, [])

    async def test_a_file_of_another_program_is_refused_in_words(self, ada: httpx.AsyncClient, world: World) -> None:
        file = {"file": ("table.xlsx", b"PK\x03\x04" + b"x" * 50, "text/csv")}
        answer = await ada.post("runs/new", data={**ASKED, "how": "table"}, files=file)
        assert (answer.status_code, kept(world)) == (400, [])
        assert "CSV UTF-8" in answer.text and 'href="#f-table"' in answer.text

    async def test_a_series_is_cancelled_and_taken_off_the_list_whole(
        self, ada: httpx.AsyncClient, world: World
    ) -> None:
        runs = await world.portal.running.start_series(
            AS_ADA, ASKED, table=[{"n": 1}, {"n": 2}, {"n": 3}], values={}, things={}, title=""
        )
        ended(world, runs[0])
        here = f"runs/series/{runs[0].series}"
        assert (await ada.post(here, data={"do": "forget"})).status_code == 409
        await ada.post(here, data={"do": "cancel"})
        assert sorted(run.state for run in kept(world)) == ["cancelled", "cancelled", "done"]
        await ada.post(here, data={"do": "forget"})
        assert kept(world) == [] and (await ada.get(here)).status_code == 404


class TestASchedule:
    async def test_it_is_made_shown_and_stopped(self, ada: httpx.AsyncClient, world: World) -> None:
        said = {**ASKED, "how": "schedule", "every": "week", "weekday": "2", "at": "06:30", "until": "2026-04-30"}
        answer = await ada.post("runs/new", data={**said, "value.n": "4"})
        assert answer.headers["Location"] == "/services/vaas/runs/"
        (schedule,) = world.portal.running.schedules(AS_ADA)
        assert (schedule.cron, schedule.parameters["n"]) == ("30 6 * * 2", 4)
        assert (schedule.until.date().isoformat(), kept(world)) == ("2026-04-30", [])
        page = (await ada.get("runs/")).text
        assert "Every Tuesday at 06:30 UTC, until 30 April 2026" in page and "Next:" in page
        assert (await ada.post(f"schedules/{schedule.id}")).status_code == 303
        assert world.portal.running.schedules(AS_ADA) == []

    @pytest.mark.parametrize(
        ("said", "field"),
        [
            ({"every": "week", "weekday": "9", "at": "06:30"}, "weekday"),
            ({"every": "day", "at": "25:00"}, "at"),
            ({"every": "cron", "cron": f"{HOSTILE} *"}, "cron"),
            ({"every": "day", "at": "06:30", "until": "soon"}, "until"),
        ],
    )
    async def test_what_is_wrong_is_said_at_its_field(
        self, ada: httpx.AsyncClient, world: World, said: dict[str, str], field: str
    ) -> None:
        answer = await ada.post("runs/new", data={**ASKED, "how": "schedule", "until": "2026-04-30", **said})
        assert (answer.status_code, world.portal.running.schedules(AS_ADA)) == (400, [])
        assert f'id="f-{field}-error"' in answer.text and "<script>alert" not in answer.text


class TestARun:
    async def test_its_page_says_how_far_it_is(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await started(world, n=5)
        assert "It waits for its turn." in (await ada.get(f"runs/{run.id}/")).text
        becomes(world, run, progress={"message": "It is third in the queue.", "starts_in": 250.0})
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "It is third in the queue. It starts in about 4 minutes." in page
        becomes(world, run, state="running", started=world.clock(), progress={"cell": 2, "of": 8})
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "Cell 2 of 8 is running." in page and 'max="8" value="1"' in page
        assert '<meta http-equiv="refresh"' in page, "without scripts it follows, too"

    async def test_what_it_says_is_never_markup(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await world.portal.running.start(AS_ADA, ASKED, values={"name": HOSTILE}, title=HOSTILE)
        becomes(world, run, state="failed", error=f"Cell 2: {HOSTILE}", progress={"message": HOSTILE})
        world.put(ADA, f"Runs/{HOSTILE.replace('/', '')}/x", b"")
        for page in (f"runs/{run.id}/", "runs/", f"runs/new?again={run.id}", ""):
            text = (await ada.get(page)).text
            assert "<script>alert" not in text and "49" not in re.sub(r"\d{3,}", "", text).split("Details")[0]

    async def test_the_events_tell_progress_and_what_is_new_in_the_log(
        self, ada: httpx.AsyncClient, world: World
    ) -> None:
        run = await going(world)
        writes(run, "one\n")
        events: list[dict[str, Any]] = []
        async with ada.stream("GET", f"runs/{run.id}/events") as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                events.append(json.loads(line.removeprefix("data: ")))
                if len(events) == 1:
                    writes(run, "one\n<b>two</b>\n")
                elif events[-1].get("log") == "\n<b>two</b>":
                    writes(run, "later\n")
                elif events[-1].get("fresh"):
                    ended(world, run)
        assert events[0] == {
            "state": "running",
            "words": "Cell 1 of 2 is running.",
            "cell": 1,
            "of": 2,
            "over": False,
            "log": "one",
            "fresh": True,
        }
        assert {"log": "\n<b>two</b>", "fresh": False}.items() <= events[1].items()
        assert any(event.get("log") == "later" and event["fresh"] for event in events[2:])
        assert (events[-1]["state"], events[-1]["over"]) == ("done", True)

    async def test_its_log_is_plain_text(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await going(world)
        writes(run, "")
        assert (await ada.get(f"runs/{run.id}/log")).text == "Nothing was written yet."
        writes(run, HOSTILE)
        answer = await ada.get(f"runs/{run.id}/log")
        assert (answer.text, answer.headers["Content-Type"]) == (HOSTILE, "text/plain; charset=utf-8")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_a_module_that_is_not_there_comes_with_what_to_do(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await going(world)
        for error, told in (("ModuleNotFoundError: No module named 'emoji'", True), ("ValueError: odd", False)):
            becomes(world, run, state="failed", error=f"Cell 2 failed: {error}")
            page = (await ada.get(f"runs/{run.id}/")).text
            assert "It did not work" in page and ("repeat it with an environment that has this module" in page) is told

    async def test_it_is_cancelled_repeated_and_taken_off_the_list(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await started(world, n=5, name="north")
        here = f"runs/{run.id}/"
        assert (await ada.post(here, data={"do": "forget"})).status_code == 409
        answer = await ada.post(here, data={"do": "cancel"})
        assert kept(world)[0].state == "cancelled"
        # The page itself says how far that is: a notice would go on saying that it is being cancelled.
        assert "vaas-notice" not in answer.headers.get("Set-Cookie", "")
        form = (await ada.get(f"runs/new?again={run.id}")).text
        assert 'name="value.n" value="5"' in form and 'value="north"' in form and "how-table" not in form
        world.clock.forward(seconds=1)
        answer = await ada.post("runs/new", data={"again": run.id, "value.n": "6", "value.name": "north"})
        again = kept(world)[-1]
        assert answer.headers["Location"].endswith(f"runs/{again.id}/")
        assert (again.parameters["n"], again.parameters["name"]) == (6, "north")
        await ada.post(here, data={"do": "forget"})
        assert [each.id for each in kept(world)] == [again.id]
        assert (await ada.post(f"runs/{again.id}/", data={"do": "explode"})).status_code == 400

    async def test_it_is_repeated_where_one_chooses(self, ada: httpx.AsyncClient, world: World) -> None:
        (here,) = world.core.offering.facilities
        spare = replace(here, id="spare", title="Spare", batch=True)
        world.core.offering = replace(world.core.offering, facilities=(here, spare))
        run = await world.portal.running.start(AS_ADA, ASKED, facility="spare", size="large")
        form = (await ada.get(f"runs/new?again={run.id}")).text
        assert list(places(form)) == ["spare", "here"] and '<option value="large" selected>' in form
        closed = replace(spare, about={"status": "down", "note": "It is being moved."})
        world.core.offering = replace(world.core.offering, facilities=(here, closed))
        form = (await ada.get(f"runs/new?again={run.id}")).text
        assert places(form) == {"spare!": "It is being moved.", "here": "Your files are there."}
        said = {"again": run.id, "facility": "spare", "size-spare": "large"}
        refused = await ada.post("runs/new", data=said)
        assert refused.status_code == 403 and 'id="f-facility-error"' in refused.text
        assert (await ada.post(f"runs/{run.id}/", data={"do": "repeat"})).status_code == 403
        world.clock.forward(seconds=1)
        await ada.post("runs/new", data={**said, "facility": "here", "size-here": "large"})
        again = kept(world)[-1]
        assert (again.facility, again.size, len(kept(world))) == ("here", "large", 2)
        told = await ada.post(f"api/runs/{run.id}/repeat", json={"facility": "here"})
        assert (told.status_code, told.json()["facility"]) == (201, "here")

    async def test_it_is_repeated_as_it_was_then(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await started(world, n=5, levels=[7])
        (world.homes / "ada/lab/waves.ipynb").unlink()
        form = (await ada.get(f"runs/new?again={run.id}")).text
        assert 'name="value.n" value="5"' in form and "[7]</textarea>" in form
        answer = await ada.post("runs/new", data={"again": run.id, "value.n": "many"})
        assert (answer.status_code, len(kept(world))) == (400, 1) and 'id="f-value.n-error"' in answer.text
        assert (await ada.post("runs/new", data={"again": run.id, "value.n": "6"})).status_code == 303
        assert {each.snapshot for each in kept(world)} == {run.snapshot}

    async def test_another_thing_of_the_basket_is_chosen_when_it_is_repeated(
        self, ada: httpx.AsyncClient, world: World
    ) -> None:
        run = await world.portal.running.start(AS_ADA, ASKED, things={"table": "store:home/lab/sea.csv"})
        world.put(ADA, "lake.csv", "a,b\n")
        form = (await ada.get(f"runs/new?again={run.id}")).text
        assert '<option value="before" selected>As it was: sea.csv</option>' in form
        assert '<option value="">As in the notebook: sea.csv</option>' in form
        for said, things in (
            ({"thing.table": "before"}, ["lab/sea.csv"]),
            ({"thing.table": "store:home/", "file.table": "lake.csv"}, ["lake.csv"]),
            ({"thing.table": ""}, []),
            ({}, ["lab/sea.csv"]),
        ):
            world.clock.forward(seconds=1)
            assert (await ada.post("runs/new", data={"again": run.id, **said})).status_code == 303
            assert [each["path"] for each in kept(world)[-1].asked["things"].values()] == things
        answer = await ada.post("runs/new", data={"again": run.id, "thing.table": "", "value.n": "many"})
        assert '<option value="" selected>As in the notebook' in answer.text, "what was chosen stays so"
        answer = await ada.post(f"api/runs/{run.id}/repeat", json={"things": {"table": "store:home/lake.csv"}})
        assert answer.json()["asked"]["things"]["table"]["path"] == "lake.csv"

    async def test_who_may_not_read_the_app_any_more_does_not_repeat_it(
        self, ada: httpx.AsyncClient, world: World, site: str
    ) -> None:
        app = await world.published(ADA, *CELLS, to=("user:bob",), title="Waves")
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
        run = await world.portal.running.start(AS_BOB, {"app": app.slug})
        async with client(site, "bob") as bob:
            assert (await bob.get(f"runs/new?again={run.id}")).status_code == 200
            await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.VIEW)
            assert (await bob.get(f"runs/new?again={run.id}")).status_code == 403
            assert (await bob.post("runs/new", data={"again": run.id})).status_code == 403

    async def test_its_result_leads_on(self, ada: httpx.AsyncClient, world: World) -> None:
        run = ended(world, await started(world, n=5))
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "after 1 min 15 s" in page and 'href="/services/vaas/files/home/Runs/Waves"' in page
        assert 'href="/services/vaas/files/home/Runs/Waves/waves.ipynb"' in page
        assert 'value="publish"' in page
        assert re.search(rf'<iframe src="/services/vaas/runs/{run.id}/result" [^>]*sandbox=""', page)
        draft = await ada.post(f"runs/{run.id}/", data={"do": "publish"})
        assert draft.status_code == 303
        made = world.portal.drafts.get(ADA, draft.headers["Location"].split("/")[-2])
        assert made.origin_path == "Runs/Waves/waves.ipynb"
        (kept_notebook,) = [file.sha256 for file in made.snapshot.files if file.path == "waves.ipynb"]
        assert world.core.content.read(kept_notebook) == (world.homes / "ada/Runs/Waves/waves.ipynb").read_bytes()
        assert "sea.csv" in {file.path for file in made.snapshot.files}, "what it read beside itself travels along"
        (world.homes / "ada/Runs/Waves/result.html").unlink()
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "<iframe" not in page and "Executed notebook" in page
        (world.homes / "ada/Runs/Waves/waves.ipynb").unlink()
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "Executed notebook" not in page and "Publish as an app" not in page
        assert (await ada.get(f"runs/{run.id}/result")).status_code == 404
        assert "It cannot be found" not in page and "All files of the result" in page
        (world.homes / "ada/Runs/Waves").rename(world.homes / "ada/Elsewhere")
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "It cannot be found" in page and "All files of the result" not in page and "not there any more" in page

    async def test_what_ended_since_one_looked_is_counted(self, ada: httpx.AsyncClient, world: World) -> None:
        run = await started(world)
        assert "bar-count" not in (await ada.get("stores/")).text
        world.clock.forward(seconds=5)
        ended(world, run)
        assert "1 has ended since you looked" in (await ada.get("stores/")).text
        world.clock.forward(seconds=5)
        await ada.get("runs/")
        assert "bar-count" not in (await ada.get("stores/")).text


class TestRest:
    async def test_a_run_from_its_form_to_its_end(self, ada: httpx.AsyncClient, world: World) -> None:
        form = (await ada.get("api/runs/form", params=ASKED)).json()
        assert {field["name"]: (field["kind"], field["default"]) for field in form["fields"]}["n"] == ("int", 3)
        assert form["facilities"][0]["environments"] == ["apps"] and form["sizes"][0]["id"] == "small"
        made = await ada.post("api/runs", json={**ASKED, "values": {"n": 5}, "title": "Five"})
        run = made.json()
        assert (made.status_code, run["state"], run["parameters"]["n"], run["result"]) == (201, "queued", 5, None)
        assert run["url"] == f"{PUBLIC_URL}runs/{run['id']}/"
        writes(becomes(world, kept(world)[0], ref=run["id"], state="running"), "hello\n")
        assert (await ada.get(f"api/runs/{run['id']}/log")).json() == {"log": "hello"}
        ended(world, kept(world)[0])
        told = (await ada.get(f"api/runs/{run['id']}")).json()
        assert told["result"] == {
            "store": "home",
            "path": "Runs/Waves",
            "notebook": "Runs/Waves/waves.ipynb",
            "url": f"{PUBLIC_URL}files/home/Runs/Waves",
        }
        again = await ada.post(f"api/runs/{run['id']}/repeat", json={"values": {"n": 6}})
        assert (again.status_code, again.json()["parameters"]["n"]) == (201, 6)
        assert (await ada.post(f"api/runs/{again.json()['id']}/cancel")).json()["state"] == "cancelled"
        assert len((await ada.get("api/runs")).json()) == 2
        assert (await ada.delete(f"api/runs/{run['id']}")).status_code == 204
        assert len((await ada.get("api/runs")).json()) == 1

    async def test_a_table(self, ada: httpx.AsyncClient) -> None:
        made = await ada.post("api/runs/series", json={**ASKED, "table": [{"n": 1}, {"n": 2}]})
        assert made.status_code == 201
        listed = (await ada.get("api/runs", params={"series": made.json()["series"]})).json()
        assert sorted(run["parameters"]["n"] for run in listed) == [1, 2]

    async def test_a_schedule(self, ada: httpx.AsyncClient) -> None:
        made = await ada.post("api/schedules", json={**ASKED, "cron": "0 6 * * 1", "until": "2026-04-30"})
        assert (made.status_code, made.json()["when"]) == (201, "every Monday at 06:00 UTC")
        assert [each["id"] for each in (await ada.get("api/schedules")).json()] == [made.json()["id"]]
        assert (await ada.delete(f"api/schedules/{made.json()['id']}")).status_code == 204
        assert (await ada.get("api/schedules")).json() == []

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("api/runs", {}),
            ("api/runs", {"app": 1}),
            ("api/runs", {**ASKED, "values": []}),
            ("api/runs", {**ASKED, "values": {"n": "many"}}),
            ("api/runs", {**ASKED, "values": {"nope": 1}}),
            ("api/runs", {**ASKED, "things": "sea"}),
            ("api/runs/series", {**ASKED}),
            ("api/runs/series", {**ASKED, "table": [1]}),
            ("api/runs/series", {**ASKED, "table": [{"n": 1}, {"n": "x"}]}),
            ("api/schedules", {**ASKED, "cron": "0 6 * * *", "until": "soon"}),
            ("api/schedules", {**ASKED, "cron": "often", "until": "2026-04-30"}),
        ],
    )
    async def test_what_is_sent_wrongly_is_said(
        self, ada: httpx.AsyncClient, world: World, path: str, body: dict[str, Any]
    ) -> None:
        answer = await ada.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (400, "Invalid")
        assert kept(world) == [] and world.portal.running.schedules(AS_ADA) == []


async def test_folders_are_made_for_a_file_that_is_sent(ada: httpx.AsyncClient, world: World) -> None:
    path = "api/stores/home/files/Sent/waves/waves.ipynb"
    assert (await ada.put(path, content=b"1")).status_code == 404
    for status in (201, 409):
        assert (await ada.put(path, params={"parents": "1"}, content=b"1")).status_code == status
    assert (world.homes / "ada/Sent/waves/waves.ipynb").read_bytes() == b"1"
    assert (await ada.put("api/stores/home/files/.hidden/y", params={"parents": "1"}, content=b"")).status_code == 400


@pytest.mark.parametrize("token", ["", "ada:read"])
async def test_nothing_starts_without_the_right_to(ada: httpx.AsyncClient, world: World, site: str, token: str) -> None:
    run = await started(world)
    paths = ("runs/new", f"runs/{run.id}/", "api/runs", "api/runs/series", f"api/runs/{run.id}/repeat")
    async with client(site, token) as asker:
        for path in (*paths, f"api/runs/{run.id}/cancel", "api/schedules"):
            assert (await asker.post(path, json=ASKED)).status_code in {401, 403}, path
    assert kept(world) == [run]


async def test_a_path_out_of_the_store_leads_nowhere(ada: httpx.AsyncClient, world: World) -> None:
    world.put(BOB, "result.html", "bob's")
    run = ended(world, await started(world), result_path="../bob")
    assert (await ada.get(f"runs/{run.id}/result")).status_code in {400, 404}


async def test_only_the_page_of_a_run_frames_the_portal(ada: httpx.AsyncClient, world: World) -> None:
    run = ended(world, await started(world))
    for page, frames in ((f"runs/{run.id}/", True), ("runs/", False), ("stores/", False)):
        policy = (await ada.get(page)).headers["Content-Security-Policy"]
        assert ("frame-src 'self' http://*.vaas.localhost" in policy) is frames

"""Drafts: what travels with a notebook, what is left out, what is too much, and how a check goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.notebooks import markdown, notebook
from tests.portal_parts import ADA, BOB, OK, World
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unavailable
from vaas.model import Access, Draft, ServerName, Visitor
from vaas.portal import Limits, Publication
from vaas.portal.opening import draft_server
from vaas.stores.folder import FolderStore


def paths(draft: Draft) -> list[str]:
    return [file.path for file in draft.snapshot.files]


def upload(world: World, files: dict[str, bytes], **options: Any) -> Draft:
    return world.portal.drafts.begin_upload(ADA, files, **options)


class TestFromAStore:
    """A notebook in a person's own store."""

    async def test_what_the_notebook_needs_travels_along_by_paths_beside_it(self, world: World) -> None:
        world.put(ADA, "course/lesson.ipynb", notebook("import model", "open('data/waves.csv')"))
        world.put(ADA, "course/model.py", "import tools")
        world.put(ADA, "course/tools.py", "x = 1")
        world.put(ADA, "course/data/waves.csv", "1")
        world.put(ADA, "course/diary.txt", "private")
        world.put(ADA, "elsewhere.csv", "private")
        draft = await world.portal.drafts.begin(ADA, "home", "course/lesson.ipynb")
        assert paths(draft) == ["data/waves.csv", "lesson.ipynb", "model.py", "tools.py"]
        assert draft.snapshot.notebook == "lesson.ipynb"
        assert (draft.origin_store, draft.origin_path) == ("home", "course/lesson.ipynb")

    async def test_only_what_is_named_travels_along(self, world: World) -> None:
        world.core.limits = Limits(checks_each=100)
        world.put(ADA, "lesson.ipynb", notebook("open('needed.csv')"))
        for name in (
            "needed.csv",
            "data/public.csv",
            "data/secret.csv",
            "data/deep/er.csv",
            "more/a.txt",
            "moreover.txt",
        ):
            world.put(ADA, name, "x")
        for include, expected in (
            ([], []),
            (["data/public.csv"], ["data/public.csv"]),
            (["data/deep"], ["data/deep/er.csv"]),
            (["data"], ["data/deep/er.csv", "data/public.csv", "data/secret.csv"]),
            (["/more/", "needed.csv"], ["more/a.txt", "needed.csv"]),
            (["", "no/such", "mor"], []),
        ):
            draft = await world.portal.drafts.begin(ADA, "home", "lesson.ipynb", include=include)
            assert paths(draft) == sorted([*expected, "lesson.ipynb"]), include

    async def test_nothing_outside_the_notebooks_folder_is_included(self, world: World) -> None:
        world.put(ADA, "a/lesson.ipynb", notebook("x = 1"))
        world.put(ADA, "b/secret.csv", "x")
        draft = await world.portal.drafts.begin(ADA, "home", "a/lesson.ipynb", include=["b/secret.csv", "b"])
        assert paths(draft) == ["lesson.ipynb"]
        with pytest.raises(Invalid):
            await world.portal.drafts.begin(ADA, "home", "a/lesson.ipynb", include=["a/../b"])

    async def test_hidden_files_and_caches_stay_at_home(self, world: World) -> None:
        world.put(ADA, "lesson.ipynb", notebook("open('data/a.csv')"))
        for name in ("data/a.csv", "data/.env", "data/.git/config", "data/__pycache__/a.pyc", "data/node_modules/a.js"):
            world.put(ADA, name, "x")
        draft = await world.portal.drafts.begin(ADA, "home", "lesson.ipynb", include=["data", ".env", "data/.env"])
        assert paths(draft) == ["data/a.csv", "lesson.ipynb"]

    async def test_a_notebook_without_a_heading_is_called_after_its_file(self, world: World) -> None:
        world.put(ADA, "course/Tide tables.ipynb", notebook("x = 1"))
        assert (await world.portal.drafts.begin(ADA, "home", "course/Tide tables.ipynb")).title == "Tide tables"
        assert upload(world, {"Tide tables.ipynb": notebook("x = 1")}).title == "Tide tables"

    async def test_the_same_place_is_the_same_app_for_the_same_person(self, world: World) -> None:
        world.put(ADA, "lesson.ipynb", notebook("x = 1"))
        first = await world.portal.drafts.begin(ADA, "home", "lesson.ipynb")
        world.report(first)
        app, _ = world.portal.drafts.publish(ADA, first.id, Publication(title="Waves"))
        second = await world.portal.drafts.begin(ADA, "home", "lesson.ipynb")
        assert (second.app_id, second.slug, second.title) == (app.id, "waves", "Waves")
        world.put(BOB, "lesson.ipynb", notebook("x = 1"))
        other = await world.portal.drafts.begin(BOB, "home", "lesson.ipynb")
        assert other.slug == "" and other.app_id != app.id

    @pytest.mark.parametrize("path", ["", "none.ipynb", "../ada/lesson.ipynb", ".hidden.ipynb", "data.csv", "folder"])
    async def test_what_is_no_notebook_of_theirs_is_refused(self, world: World, path: str) -> None:
        for name in (".hidden.ipynb", "folder/lesson.ipynb"):
            world.put(ADA, name, notebook("x = 1"))
        world.put(ADA, "data.csv", "1,2")
        with pytest.raises((Invalid, NotFound)):
            await world.portal.drafts.begin(ADA, "home", path)
        with pytest.raises(NotFound):
            await world.portal.drafts.begin(ADA, "elsewhere", "folder/lesson.ipynb")

    async def test_a_folder_that_holds_itself_does_not_go_on_for_ever(self, world: World) -> None:
        world.limit(draft_files=50)
        world.put(ADA, "lesson.ipynb", notebook("open('data/a.csv')"))
        for name in ("one", "two"):
            (world.homes / "ada" / "data").mkdir(exist_ok=True)
            (world.homes / "ada" / "data" / name).symlink_to(world.homes / "ada" / "data")
        draft = await world.portal.drafts.begin(ADA, "home", "lesson.ipynb")
        assert paths(draft) == ["lesson.ipynb"]
        with pytest.raises(TooLarge):
            await world.portal.drafts.begin(ADA, "home", "lesson.ipynb", include=["data"])


class TestUploads:
    """Files that the browser or the command line sends."""

    async def test_a_shared_top_folder_is_dropped(self, world: World) -> None:
        draft = upload(world, {"course/lesson.ipynb": notebook("x"), "course/data/a.csv": b"1"})
        assert paths(draft) == ["data/a.csv", "lesson.ipynb"]
        draft = upload(world, {"course/lesson.ipynb": notebook("x"), "a.csv": b"1"})
        assert paths(draft) == ["a.csv", "course/lesson.ipynb"]

    async def test_the_named_notebook_may_lie_deeper_or_be_named_without_the_top_folder(self, world: World) -> None:
        files = {"course/a/one.ipynb": notebook("1"), "course/two.ipynb": notebook("2")}
        assert upload(world, files, path="course/a/one.ipynb").snapshot.notebook == "course/a/one.ipynb"
        assert upload(world, files, path="a/one.ipynb").snapshot.notebook == "a/one.ipynb"
        assert upload(world, files).snapshot.notebook == "two.ipynb"

    async def test_a_named_notebook_that_is_not_there_is_not_replaced_by_another(self, world: World) -> None:
        with pytest.raises(Invalid) as said:
            upload(world, {"lesson.ipynb": notebook("x")}, path="lessen.ipynb")
        assert "lessen.ipynb" in said.value.message

    async def test_hidden_files_and_caches_are_left_out(self, world: World) -> None:
        files = {"c/lesson.ipynb": notebook("x")}
        files |= {f"c/{name}": b"x" for name in (".env", ".git/config", "a/.ssh/key", "__pycache__/a.pyc", "ok/a.csv")}
        assert paths(upload(world, files)) == ["lesson.ipynb", "ok/a.csv"]

    @pytest.mark.parametrize(
        "path", ["../x", "a/../../x", "a\\b", "a\0b", "./a", "x" * 600, "\ud800", "lesson.ipynb/a"]
    )
    async def test_names_that_leave_the_folder_or_fit_none_are_refused(self, world: World, path: str) -> None:
        with pytest.raises(Invalid):
            upload(world, {"lesson.ipynb": notebook("x"), path: b"x"})

    async def test_an_absolute_path_is_taken_below_the_draft(self, world: World) -> None:
        assert paths(upload(world, {"/etc/passwd": b"x", "lesson.ipynb": notebook("x")})) == [
            "etc/passwd",
            "lesson.ipynb",
        ]

    @pytest.mark.parametrize("files", [{}, {"a.csv": b"1"}, {".hidden.ipynb": b"{}"}, {"a.ipynb": b"not JSON"}])
    async def test_files_without_a_notebook_are_refused(self, world: World, files: dict[str, bytes]) -> None:
        with pytest.raises(Invalid):
            upload(world, files)

    async def test_an_error_with_letters_that_no_database_keeps_ends_a_check_all_the_same(self, world: World) -> None:
        draft = upload(world, {"lesson.ipynb": notebook(markdown("# \ud800 \0"), "x")})
        world.report(draft, {**OK, "ok": False, "errors": [{"cell": 1, "message": "no such file: \udcff"}]})
        assert world.portal.drafts.get(ADA, draft.id).state == "done"


class TestLimits:
    """How much may travel along."""

    async def test_too_many_files_are_refused(self, world: World) -> None:
        world.limit(draft_files=3)
        files = {f"{n}.csv": b"x" for n in range(2)} | {"lesson.ipynb": notebook("x")}
        assert len(paths(upload(world, files))) == 3
        with pytest.raises(TooLarge):
            upload(world, {**files, "one-more.csv": b"x"})
        for name, data in files.items():
            world.put(ADA, f"d/{name}", data)
        assert (
            len(paths(await world.portal.drafts.begin(ADA, "home", "d/lesson.ipynb", include=["d/0.csv", "d/1.csv"])))
            == 3
        )
        world.put(ADA, "d/more/2.csv", b"x")
        with pytest.raises(TooLarge):
            await world.portal.drafts.begin(ADA, "home", "d/lesson.ipynb", include=["d/0.csv", "d/1.csv", "d/more"])

    @pytest.mark.parametrize("limits", [{"draft_bytes": 3000}, {"file_bytes": 2000}])
    async def test_too_much_is_refused_however_it_comes(self, world: World, limits: dict[str, int]) -> None:
        world.limit(**limits)
        files = {"lesson.ipynb": notebook("x"), "a.csv": b"x" * 2001, "b.csv": b"x" * 900}
        with pytest.raises(TooLarge):
            upload(world, files)
        for name, data in files.items():
            world.put(ADA, name, data)
        with pytest.raises(TooLarge):
            await world.portal.drafts.begin(ADA, "home", "lesson.ipynb", include=["a.csv", "b.csv"])

    async def test_a_notebook_that_is_too_large_is_refused_however_it_comes(self, world: World) -> None:
        world.limit(notebook_bytes=1000)
        large = notebook(markdown("x" * 1000))
        world.put(ADA, "lesson.ipynb", large)
        with pytest.raises(TooLarge):
            await world.portal.drafts.begin(ADA, "home", "lesson.ipynb")
        with pytest.raises(TooLarge):
            upload(world, {"lesson.ipynb": large})

    async def test_a_store_that_says_too_small_a_size_gains_nothing(self, world: World) -> None:
        class Understated(FolderStore):
            async def list(self, path: str) -> Any:
                return tuple(replace(entry, size=0) for entry in await super().list(path))

        class Stores(type(world.core.stores)):  # type: ignore[misc]
            def of(self, user: Any) -> Any:
                return [Understated("home", "Home", self.root / user.name)]

        world.limit(draft_bytes=5000)
        world.core.stores = Stores(world.homes)
        world.put(ADA, "lesson.ipynb", notebook("x"))
        for number in range(4):
            world.put(ADA, f"data/{number}.csv", b"%d" % number * 2000)
        with pytest.raises(TooLarge):
            await world.portal.drafts.begin(ADA, "home", "lesson.ipynb", include=["data"])


class TestChecks:
    """From waiting to done, whatever happens on the way."""

    async def test_a_check_begins_with_the_draft_and_goes_waiting_running_done(self, world: World) -> None:
        draft = upload(world, {"lesson.ipynb": notebook("x")})
        server = draft_server(draft)
        assert draft.state == "waiting"
        await world.settle()
        assert world.machines.starts == [server]
        assert world.portal.servers.manifest(server, public_url="http://p/services/vaas/")["check"] == {"seconds": 300}
        world.portal.servers.checked(server, progress={"cell": 2, "cells": 3}, report={})
        running = await world.portal.drafts.progress(ADA, draft.id)
        assert (running.state, running.progress) == ("running", {"cell": 2, "cells": 3})
        world.report(draft)
        done = await world.portal.drafts.progress(ADA, draft.id)
        assert (done.state, done.report, done.progress) == ("done", OK, {"cell": 2, "cells": 3})
        assert world.portal.servers.manifest(server, public_url="http://p/services/vaas/")["check"] is None

    async def test_what_comes_after_the_report_changes_nothing(self, world: World) -> None:
        draft = upload(world, {"lesson.ipynb": notebook("x")})
        world.report(draft, {**OK, "ok": False})
        world.report(draft, OK)
        world.portal.servers.checked(draft_server(draft), progress={"cell": 9}, report={})
        kept = world.portal.drafts.get(ADA, draft.id)
        assert (kept.state, kept.report["ok"], kept.progress) == ("done", False, {})

    async def test_a_server_speaks_for_its_own_draft_alone(self, world: World) -> None:
        mine, other = upload(world, {"a.ipynb": notebook("1")}), upload(world, {"b.ipynb": notebook("2")})
        app = await world.published(BOB)
        strangers = [ServerName(f"app-{other.app_id}", f"d{mine.id}"), world.server(app, 1), ServerName("app-x", "v1")]
        for server in [*strangers, ServerName(f"app-{mine.app_id}", mine.id), ServerName(f"app-{mine.app_id}", "")]:
            with pytest.raises(NotFound):
                world.portal.servers.checked(server, progress={}, report=OK)
        assert world.portal.drafts.get(ADA, mine.id).state == "waiting"

    async def test_a_check_that_cannot_start_says_why(self, world: World) -> None:
        world.machines.all_broken = True
        draft = upload(world, {"lesson.ipynb": notebook("x")})
        await world.settle()
        ended = await world.portal.drafts.progress(ADA, draft.id)
        assert (ended.state, ended.report["ok"]) == ("done", False)
        assert "no more memory" in ended.report["problems"][0]["text"]

    @pytest.mark.parametrize("said", [{"cell": 1}, {}], ids=["running", "waiting"])
    @pytest.mark.parametrize("phase", ["stopped", "failed"])
    async def test_a_check_whose_server_died_ends(self, world: World, said: dict[str, int], phase: str) -> None:
        draft = upload(world, {"lesson.ipynb": notebook("x")})
        await world.settle()
        if said:
            world.portal.servers.checked(draft_server(draft), progress=said, report={})
        world.machines.phases[draft_server(draft)] = phase
        ended = await world.portal.drafts.progress(ADA, draft.id)
        assert (ended.state, ended.report["problems"][0]["kind"]) == ("done", "died")

    async def test_a_check_that_is_still_starting_is_left_alone(self, world: World) -> None:
        world.machines.go.clear()
        draft = upload(world, {"lesson.ipynb": notebook("x")})
        assert (await world.portal.drafts.progress(ADA, draft.id)).state == "waiting"
        world.machines.go.set()
        await world.settle()
        assert (await world.portal.drafts.progress(ADA, draft.id)).state == "waiting"

    async def test_checking_again_runs_on_a_fresh_server(self, world: World) -> None:
        draft = upload(world, {"lesson.ipynb": notebook("x")})
        await world.settle()
        world.report(draft, {**OK, "ok": False})
        again = world.portal.drafts.check_again(ADA, draft.id)
        assert (again.state, again.report, again.progress) == ("waiting", {}, {})
        assert (await world.portal.drafts.progress(ADA, draft.id)).state == "waiting"
        await world.settle()
        assert (world.machines.stops, len(world.machines.starts)) == ([draft_server(draft)], 2)
        world.report(draft)
        assert world.portal.drafts.get(ADA, draft.id).report == OK

    async def test_checking_again_while_the_hub_is_silent_ends_with_a_reason(self, world: World) -> None:
        draft = world.uploaded(ADA)
        await world.settle()

        async def silent(_server: ServerName) -> None:
            raise Unavailable("The Hub does not answer.")

        world.machines.stop = silent  # type: ignore[method-assign]
        world.portal.drafts.check_again(ADA, draft.id)
        await world.settle()
        ended = await world.portal.drafts.progress(ADA, draft.id)
        assert (ended.state, ended.report["ok"]) == ("done", False)


class TestOwners:
    """Whose a draft is."""

    async def test_a_draft_of_somebody_else_is_as_good_as_none(self, world: World) -> None:
        draft = world.uploaded(ADA)
        drafts = world.portal.drafts
        for attempt in (
            lambda id: drafts.get(BOB, id),
            lambda id: drafts.discard(BOB, id),
            lambda id: drafts.check_again(BOB, id),
            lambda id: drafts.publish(BOB, id, Publication(anyway=True)),
        ):
            said = set()
            for id in (draft.id, "0" * 8):
                with pytest.raises(NotFound) as refused:
                    attempt(id)
                said.add(refused.value.message)
            assert len(said) == 1
        with pytest.raises(NotFound):
            await drafts.progress(BOB, draft.id)
        assert drafts.get(ADA, draft.id).state == "done"

    async def test_a_new_version_is_drafted_by_writers_only(self, world: World) -> None:
        app = await world.published(ADA, to=("everyone",))
        files = {"lesson.ipynb": notebook("x = 2")}
        with pytest.raises(Forbidden):
            world.portal.drafts.begin_upload(BOB, files, slug=app.slug)
        with pytest.raises(NotFound):
            world.portal.drafts.begin_upload(BOB, files, slug="none")
        await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:bob", access=Access.WRITE)
        assert world.portal.drafts.begin_upload(BOB, files, slug=app.slug).app_id == app.id

    async def test_a_discarded_draft_is_gone_with_its_account_if_that_had_no_app(self, world: World) -> None:
        app = await world.published(ADA)
        new, update = world.uploaded(ADA), world.uploaded(ADA, "x = 3", slug=app.slug)
        await world.settle()
        for draft in (new, update):
            world.portal.drafts.discard(ADA, draft.id)
            with pytest.raises(NotFound):
                world.portal.drafts.get(ADA, draft.id)
        await world.settle()
        assert world.machines.forgotten == [f"app-{new.app_id}"]
        assert world.machines.stops[-1] == draft_server(update)

    async def test_old_drafts_are_swept_and_young_ones_stay(self, world: World) -> None:
        old = world.uploaded(ADA)
        world.clock.forward(hours=72, seconds=1)
        young = world.uploaded(ADA)
        assert (world.portal.drafts.sweep(), world.portal.drafts.sweep()) == (1, 0)
        with pytest.raises(NotFound):
            world.portal.drafts.get(ADA, old.id)
        assert world.portal.drafts.get(ADA, young.id).id == young.id


async def test_nobody_has_more_checks_or_drafts_than_one_person_may(world: World) -> None:
    world.core.limits = Limits(checks_each=2, drafts_each=3)
    drafts = [upload(world, {"lesson.ipynb": notebook(f"x = {n}")}) for n in range(2)]
    with pytest.raises(Conflict, match="still running"):
        upload(world, {"lesson.ipynb": notebook("x = 2")})
    for draft in drafts:
        world.report(draft)
    world.report(upload(world, {"lesson.ipynb": notebook("x = 3")}))
    with pytest.raises(Conflict, match="many drafts"):
        upload(world, {"lesson.ipynb": notebook("x = 4")})
    assert world.portal.drafts.begin_upload(BOB, {"lesson.ipynb": notebook("x = 5")}).owner == "bob"

"""What apps are served with: the site's environments by choice, and what a version keeps of what it was checked in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, EVE, OK, World
from tests.unit.test_environments import Shelf, paths, shelf
from vaas.environments.pinned import lock_of
from vaas.errors import Invalid, Unavailable
from vaas.launching import Environment, Facility, Offering, Size
from vaas.locks import Lock, Pin, digest_of
from vaas.model import Draft, Snapshot, Version, Visitor
from vaas.notebook import parse
from vaas.portal import Publication
from vaas.portal.environments import BESIDE
from vaas.portal.launch_forms import Form
from vaas.portal.opening import draft_server
from vaas.portal.serving import Serving
from vaas.pythons import folders_of
from vaas.runtime.manifest import Manifest
from vaas.runtime.missing import missing_modules
from vaas.runtime.outputs import Outcome
from vaas.runtime.python import Site, find_python
from vaas.served import APPS, SERVED, Served, read_served

__all__ = ["shelf"]

A, B = "a" * 64, "b" * 64
KERNEL = {"ipykernel": "7", "jupyter_client": "8", "tornado": "6", "traitlets": "5"}
COMMON = Environment(
    APPS, "As in apps", "python", "/apps/python", packages={**KERNEL, "vaas": "1", "Tiny": "1.0"}, state="ready"
)
COMMON = replace(COMMON, version="3.11.7", modules={"tiny": "Tiny"})
OCEAN = Environment(
    "ocean", "Ocean", "python", "/sea/python", packages={**KERNEL, "oceanlib": "7"}, state="ready", version="3.12.1"
)
OCEAN = replace(OCEAN, modules={"oceanlib": "oceanlib", "tiny": "tiny"})
DEEP = Environment("deep", "Deep", "kernelspec", "/sea/deep", state="ready", modules={"tiny": "tiny"}, version="3.9.2")
RUBY = Environment("ruby", "Ruby", "kernelspec", "/ruby", language="ruby", state="ready")
BOX = Environment("box", "Box", "image", "box:1")
CLUB = Environment("club", "Club", "python", "/club/python", state="ready")
LOST = Environment("lost", "Lost", "python", "/lost/python", state="broken", why="It is not there.")
SHARED = Lock("3.11", A, (Pin("tiny", "1.0", (B,)), *(Pin(n.replace("_", "-"), v, (B,)) for n, v in KERNEL.items())))
ODD = '{"id": "a", "title": "", "language": "", "version": "", "packages": [1]}'
OCEAN_LESSON = {"lesson.ipynb": notebook("import oceanlib")}


@pytest.fixture
def site(world: World) -> World:
    """Return a portal whose site has environments of all kinds."""
    alike = Environment("same", "The same", "python", COMMON.where, state="ready")
    named = (alike, OCEAN, DEEP, RUBY, BOX, CLUB, LOST)
    here = Facility("here", "Here", "local", tuple(each.id for each in named if each.id != "club"), ("small",))
    club = Facility("club", "Club", "local", ("club",), ("small",), groups=("sailors",))
    world.core.offering = Offering((here, club), named, (Size("small", "Small"),))
    world.core.common, world.core.common_lock = COMMON, SHARED
    return world


async def drafted(
    world: World, files: dict[str, bytes], *, environment: str = "", slug: str = "", ok: bool = True
) -> Draft:
    """Return the draft of the files as it is when it is checked."""
    draft = world.portal.drafts.begin_upload(ADA, files, environment=environment, slug=slug)
    await world.settle()
    if ok:
        world.report(draft)
    return world.portal.drafts.get(ADA, draft.id)


async def published(world: World, files: dict[str, bytes], *, environment: str = "", slug: str = "") -> Version:
    draft = await drafted(world, files, environment=environment, slug=slug)
    app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(title="Tiny"))
    version = world.portal.gallery.current(app)
    assert version
    return version


def served(world: World, snapshot: Snapshot) -> Served:
    found = Serving(world.core).of(snapshot)
    assert found
    return found


def manifest(world: World, draft: Draft) -> dict[str, Any]:
    return world.portal.servers.manifest(draft_server(draft), public_url="http://x/")


class TestChoosing:
    """What fits, what is suggested, and what is chosen."""

    async def test_all_are_shown_the_best_first_and_what_cannot_be_chosen_says_why(self, site: World) -> None:
        draft = await drafted(site, {"lesson.ipynb": notebook("import tiny, oceanlib")})
        fits = site.portal.choosing.fits(draft.snapshot, ADA)
        assert [(fit.environment.id, fit.missing) for fit in fits if not fit.why_not] == [
            ("apps", ("oceanlib",)),
            ("ocean", ()),
            ("deep", ("oceanlib",)),
        ]
        assert sorted(fit.environment.id for fit in fits[3:]) == ["box", "club", "lost", "ruby"]
        why = {fit.environment.id: fit.why_not for fit in fits}
        assert why["club"] == "It is for members of sailors." and "container" in why["box"]
        assert why["ruby"] == "The notebook is in Python, and this runs Ruby."
        assert why["lost"] == "It cannot be used at the moment. It is not there."

    async def test_what_lacks_nothing_is_suggested_where_what_all_share_lacks_something(self, site: World) -> None:
        draft = await drafted(site, OCEAN_LESSON)
        assert served(site, draft.snapshot).id == "ocean" == site.portal.choosing.chosen(draft.snapshot)
        fine = await drafted(site, {"lesson.ipynb": notebook("import tiny")})
        assert served(site, fine.snapshot).id == APPS == site.portal.choosing.chosen(fine.snapshot)

    async def test_packages_of_its_own_come_first_and_something_else_can_be_chosen(
        self, site: World, shelf: Shelf
    ) -> None:
        files = {"lesson.ipynb": notebook("import tiny"), "requirements.txt": b"tiny\n"}
        own = await drafted(site, files)
        fits = site.portal.choosing.fits(own.snapshot, ADA)
        assert fits[0].environment.title == "Packages of requirements.txt" and fits[1].environment.id == APPS
        assert digest_of(own.snapshot) in shelf.made and manifest(site, own)["site"] is None
        site.portal.drafts.check_again(ADA, own.id, environment="ocean")
        await site.settle()
        other = site.portal.drafts.get(ADA, own.id)
        assert paths(other.snapshot) == ["lesson.ipynb", "requirements.txt", SERVED]
        assert manifest(site, other)["environment"] == "" and manifest(site, other)["site"]["where"] == "/sea/python"
        site.portal.drafts.check_again(ADA, own.id, environment=BESIDE)
        await site.settle()
        assert site.portal.drafts.get(ADA, own.id).snapshot == own.snapshot

    @pytest.mark.parametrize(
        ("wanted", "said"),
        [
            ("nosuch", "This environment is not offered here."),
            ("beside", "This environment is not offered here."),
            ("same", "This environment is not offered here."),
            ("club", "“Club” cannot be chosen. It is for members of sailors."),
            ("box", "“Box” cannot be chosen. It is the image of a container"),
            ("lost", "“Lost” cannot be chosen. It cannot be used at the moment."),
        ],
    )
    async def test_what_cannot_be_chosen_is_refused_with_the_reason(self, site: World, wanted: str, said: str) -> None:
        with pytest.raises(Invalid, match=said) as refused:
            site.portal.drafts.begin_upload(ADA, OCEAN_LESSON, environment=wanted)
        assert refused.value.field == "environment"
        draft = await drafted(site, OCEAN_LESSON)
        with pytest.raises(Invalid, match=said):
            site.portal.drafts.check_again(ADA, draft.id, environment=wanted)
        assert site.portal.drafts.get(ADA, draft.id) == draft

    async def test_the_next_version_is_served_as_the_one_before(self, site: World, shelf: Shelf) -> None:
        await published(site, {"lesson.ipynb": notebook("1")}, environment="deep")
        again = await drafted(site, {"lesson.ipynb": notebook("2")}, slug="tiny")
        assert served(site, again.snapshot).id == "deep"
        files = {"lesson.ipynb": notebook("3"), "requirements.txt": b"tiny\n"}
        await published(site, files, environment=APPS, slug="tiny")
        asks = await drafted(site, {**files, "lesson.ipynb": notebook("4")}, slug="tiny")
        assert served(site, asks.snapshot).id == APPS and shelf.made == []
        site.core.offering = replace(site.core.offering, environments=())
        gone = await drafted(site, {"lesson.ipynb": notebook("5")}, slug="tiny")
        assert served(site, gone.snapshot).id == APPS

    async def test_a_copy_takes_its_choice_along_and_nothing_else_of_the_file_counts(self, site: World) -> None:
        said = Served("ocean", "Evil", packages={"evil": "1"}).text.encode()
        copy = await drafted(site, {"lesson.ipynb": notebook("import tiny"), SERVED: said})
        assert served(site, copy.snapshot).id == "ocean" and served(site, copy.snapshot).title == "Ocean"
        assert "evil" not in served(site, copy.snapshot).packages
        for text in (b"{", b"{}", b"[]", Served("club").text.encode(), Served("nosuch").text.encode()):
            odd = await drafted(site, {"lesson.ipynb": notebook("import tiny"), SERVED: text})
            assert served(site, odd.snapshot).id == APPS, text

    async def test_launches_of_the_app_come_with_it_first(self, site: World) -> None:
        await published(site, OCEAN_LESSON, environment="deep")
        form: Form = await site.portal.launching.form(Visitor(ADA), {"app": "tiny"})
        assert form.suggested and form.suggested.environment.id == "deep" and form.suggested.missing == ()

    async def test_what_a_check_in_another_environment_says_does_not_count(self, site: World) -> None:
        draft = await drafted(site, OCEAN_LESSON, ok=False)
        site.portal.drafts.check_again(ADA, draft.id, environment="deep")
        said = {"progress": {}, "report": OK, "of": draft.snapshot.hash}
        site.portal.servers.checked(draft_server(draft), **said)
        assert site.portal.drafts.get(ADA, draft.id).state != "done"
        await site.settle()
        now = site.portal.drafts.get(ADA, draft.id)
        site.portal.servers.checked(draft_server(draft), **{**said, "of": now.snapshot.hash})
        assert site.portal.drafts.get(ADA, draft.id).state == "done"


class TestKept:
    """What a version keeps of it, and what it runs with a year later."""

    async def test_a_version_keeps_what_was_in_it(self, site: World) -> None:
        version = await published(site, OCEAN_LESSON)
        kept = served(site, version.snapshot)
        assert (kept.title, kept.version, kept.lock) == ("Ocean", "3.12.1", None)
        assert kept.packages == {**{name.replace("_", "-"): each for name, each in KERNEL.items()}, "oceanlib": "7"}
        shown = site.portal.environments.shown(version)
        assert shown.served == kept and not shown.changed and not shown.away

    async def test_its_owner_is_told_what_is_another_in_it_by_now(self, site: World) -> None:
        version = await published(site, OCEAN_LESSON)
        later = replace(OCEAN, packages={**KERNEL, "OceanLib": "8", "more": "1"}, version="3.13.0")
        site.core.offering = replace(site.core.offering, environments=(later,))
        shown = site.portal.environments.shown(version)
        assert dict(shown.changed) == {"oceanlib": "8", "python": "3.13.0"}

    async def test_one_that_is_not_offered_any_more_or_is_away_starts_no_app(self, site: World) -> None:
        version = await published(site, OCEAN_LESSON)
        starts = len(site.machines.starts)
        away = replace(OCEAN, state="broken", why="It does not answer.")
        for there, said in (((), "“Ocean” is not offered here any more"), ((away,), "It does not answer.")):
            site.core.offering = replace(site.core.offering, environments=there)
            with pytest.raises(Unavailable, match=said):
                site.portal.environments.runs_in(version.snapshot)
            await site.portal.opening.begin(Visitor(ADA), "tiny")
            await site.settle()
            failed = await site.portal.opening.progress(Visitor(ADA), "tiny")
            assert failed.phase == "failed" and said in failed.detail and len(site.machines.starts) == starts
            assert said in site.portal.environments.shown(version).away
        site.core.offering = replace(site.core.offering, environments=(OCEAN,))
        await site.portal.opening.begin(Visitor(ADA), "tiny")
        await site.settle()
        assert len(site.machines.starts) == starts + 1

    async def test_one_that_is_gone_when_it_is_checked_ends_the_check(self, site: World) -> None:
        draft = site.portal.drafts.begin_upload(ADA, OCEAN_LESSON)
        site.core.offering = replace(site.core.offering, environments=())
        await site.settle()
        (problem,) = site.portal.drafts.get(ADA, draft.id).report["problems"]
        assert "“ocean” is not offered here any more" in problem["text"] and problem["kind"] == "environment"

    async def test_what_apps_shared_is_made_again_where_they_share_something_else(
        self, site: World, shelf: Shelf
    ) -> None:
        version = await published(site, {"lesson.ipynb": notebook("import tiny")})
        assert site.portal.environments.runs_in(version.snapshot) == {"environment": "", "site": None}
        assert shelf.made == []
        site.core.common = replace(COMMON, packages={**COMMON.packages, "Tiny": "2.0"})
        await site.portal.opening.begin(Visitor(ADA), "tiny")
        await site.settle()
        assert shelf.made == [SHARED.digest]
        assert site.portal.environments.runs_in(version.snapshot) == {"environment": SHARED.digest, "site": None}
        shown = site.portal.environments.shown(version)
        assert shown.again and dict(shown.changed) == {"tiny": "2.0"}
        own = site.portal.environments.of(version.snapshot)
        assert own and (own.kind, own.where, own.title) == ("lock", SHARED.digest, "As published")
        shelf.there.add(B)
        assert site.portal.environments.sweep() == 1 and shelf.there == {SHARED.digest}

    async def test_it_is_made_again_before_anybody_waits_for_it(self, site: World, shelf: Shelf) -> None:
        await published(site, {"lesson.ipynb": notebook("import tiny")})
        await site.portal.environments.restore()
        assert shelf.made == []
        site.core.common = replace(COMMON, version="3.12.0")
        await site.portal.environments.restore()
        assert shelf.made == [SHARED.digest]

    async def test_where_it_cannot_be_the_app_runs_with_what_apps_share_now_and_its_owner_hears(
        self, site: World, shelf: Shelf, caplog: pytest.LogCaptureFixture
    ) -> None:
        version = await published(site, {"lesson.ipynb": notebook("import tiny")})
        site.core.common = replace(COMMON, packages={**KERNEL})
        shelf.wrong = Unavailable("The index of packages does not answer.")
        await site.portal.opening.begin(Visitor(ADA), "tiny")
        await site.settle()
        assert (await site.portal.opening.progress(Visitor(ADA), "tiny")).phase == "ready"
        assert site.portal.environments.runs_in(version.snapshot)["environment"] == ""
        shown = site.portal.environments.shown(version)
        assert not shown.again and dict(shown.changed) == {"tiny": ""}
        assert "What apps shared before cannot be made again: The index" in caplog.text
        # Who comes next does not wait for it again.
        caplog.clear()
        await site.portal.environments.ready(version.snapshot)
        await site.portal.environments.ready(version.snapshot)
        assert caplog.text.count("cannot be made again") == 1
        with pytest.raises(Unavailable, match="does not answer"):  # who asks for it by name is told
            await site.portal.environments.prepare(version.snapshot, f"lock-{SHARED.digest[:12]}")

    async def test_the_same_published_again_is_the_same_version(self, site: World) -> None:
        first = await published(site, {"lesson.ipynb": notebook("1")})
        pins = tuple(replace(pin, hashes=(*pin.hashes, A)) for pin in SHARED.pins)
        site.core.common_lock = replace(SHARED, pins=pins)
        again = await published(site, {"lesson.ipynb": notebook("1")}, slug="tiny")
        assert again == first

    async def test_a_site_that_knows_nothing_of_it_keeps_nothing(self, world: World) -> None:
        draft = await drafted(world, {"lesson.ipynb": notebook("1")})
        assert paths(draft.snapshot) == ["lesson.ipynb"] and manifest(world, draft)["environment"] == ""

    async def test_who_is_asked_waits_until_it_is_known(self, site: World) -> None:
        site.core.common = replace(COMMON, packages={}, version="")

        async def look() -> None:
            site.core.common = COMMON

        site.core.look_at_common = look
        draft = await drafted(site, {"lesson.ipynb": notebook("1")})
        assert served(site, draft.snapshot).packages["tiny"] == "1.0"

    async def test_others_may_not_choose_for_a_draft(self, site: World) -> None:
        draft = await drafted(site, OCEAN_LESSON)
        with pytest.raises(Exception, match="no such draft"):
            site.portal.drafts.check_again(EVE, draft.id, environment="deep")


class TestFiles:
    """The file, and the lock of what apps share."""

    def test_it_is_read_as_it_is_written(self) -> None:
        for each in (Served("x", "X", "r", "4", {"a": "1"}), Served(APPS, packages=SHARED.packages, lock=SHARED)):
            again = read_served(each.text)
            assert (again.text, again.packages) == (each.text, each.packages) and again.id == each.id

    @pytest.mark.attack
    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": "x"}', "{" * 10_000, ODD])
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(Invalid):
            read_served(text)

    def test_what_apps_share_is_locked_by_the_lock_that_they_were_installed_from(self) -> None:
        known = "\n".join(
            [
                f"tiny==0.9 ; python_version < '3.10' \\\n    --hash=sha256:{A}",
                f"tiny==1.0 ; python_version >= '3.10' \\\n    --hash=sha256:{B}",
                *(f"{name}=={version} \\\n    --hash=sha256:{B}" for name, version in KERNEL.items()),
            ]
        )
        lock = lock_of(COMMON, known)
        assert lock and lock.python == "3.11" and set(lock.pins) == set(SHARED.pins)
        assert lock_of(replace(COMMON, packages={**COMMON.packages, "added": "1"}), known) is None
        assert lock_of(replace(COMMON, packages={}), known) is None


class TestInTheAppServer:
    """What kernels are started with."""

    def test_a_python_that_has_what_ours_needs_starts_our_kernel_and_others_their_own(self, tmp_path: Path) -> None:
        python = tmp_path / "sea" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to("/bin/true")
        ours = find_python("", {}, site=Site("Sea", "python", str(python), ours=True))
        argv = ours.spec["argv"]
        assert argv[:3] == [str(python), "-P", "-c"] and "vaas.runtime.kernel" in argv[3] and ours.ours
        plain = find_python("", {}, site=Site("Sea", "python", str(python)))
        assert plain.spec["argv"][1:3] == ["-m", "ipykernel_launcher"] and not plain.ours
        assert plain.made == tmp_path / "sea" and tmp_path / "sea" in plain.folders

    def test_a_kernelspec_is_taken_as_the_site_wrote_it(self, tmp_path: Path) -> None:
        spec = {"argv": ["/opt/ruby/bin/ruby", "{resource_dir}/k.rb"], "language": "ruby", "env": {"DEEP": "1"}}
        (tmp_path / "kernel.json").write_text(json.dumps(spec))
        python = find_python("", {}, site=Site("Ruby", "kernelspec", str(tmp_path), language="ruby"))
        found = python.spec
        assert found["argv"] == ["/opt/ruby/bin/ruby", f"{tmp_path}/k.rb"] and found["env"] == {"DEEP": "1"}
        assert found["language"] == "ruby" and tmp_path in python.folders and Path("/opt/ruby") in python.folders

    def test_of_a_home_nothing_is_seen_but_its_programs(self) -> None:
        assert folders_of(Path("/home/op/bin/python")) == [Path("/home/op/bin")]
        assert folders_of(Path("/home/op/sea/bin/python")) == [Path("/home/op/sea")]

    def test_what_is_not_there_starts_nothing(self, tmp_path: Path) -> None:
        for site in (Site("Sea", "python", str(tmp_path / "no")), Site("Sea", "kernelspec", str(tmp_path / "no"))):
            with pytest.raises(Unavailable, match="“Sea” of this app"):
                find_python("", {}, site=site)

    def test_the_portal_tells_it_and_the_app_server_reads_it(self) -> None:
        said = {"title": "Sea", "kind": "python", "where": "/sea/python", "language": "python", "version": "3.12"}
        said |= {"ours": True}
        assert Manifest.from_json(_manifest(site=said)).site == Site(**said)
        assert Manifest.from_json(_manifest(site=None)).site is None
        with pytest.raises(Invalid):
            Manifest.from_json(_manifest(site={**said, "more": 1}))

    def test_what_it_lacks_is_said_with_its_name(self, tmp_path: Path) -> None:
        lesson = parse(notebook("import tiny, nosuch"), name="lesson.ipynb")
        error = {"cell": 1, "name": "ModuleNotFoundError", "message": "No module named 'nosuch'", "traceback": ""}
        python = find_python("", {}, site=Site("Sea", "kernelspec", str(_spec(tmp_path))))
        (problem,) = missing_modules(
            lesson, Outcome(cells=1, errors=[error]), folder=tmp_path, cwd=tmp_path, python=python, environ={}
        )
        assert problem["text"] == "Cell 1 needs the module “nosuch”, which is not in “Sea”."
        assert problem["fix"].startswith("Choose another environment")


def _spec(folder: Path) -> Path:
    (folder / "kernel.json").write_text(json.dumps({"argv": ["python3"], "language": "python"}))
    return folder


def _manifest(**more: Any) -> dict[str, Any]:
    return {
        "server": "/user/app-x/v1/",
        "app": {"id": "x", "title": "X"},
        "version": "1",
        "hash": "h",
        "notebook": "n.ipynb",
        "files": [{"path": "n.ipynb", "sha256": A, "size": 1}],
        "ticket_key": "a" * 44,
        **dict.fromkeys(("portal", "about", "launch", "open"), "http://x/"),
        "limits": {},
        "frame_ancestors": [],
        **more,
    }

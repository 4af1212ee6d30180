"""What fits: needs are read from code and baskets, and what is offered is ordered by them, with reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub_service.launch_json import places
from tests.notebooks import notebook
from tests.portal_parts import ADA, EVE
from vaas.content import Content
from vaas.errors import Forbidden, Invalid
from vaas.keeping import Thing
from vaas.launching import Environment, Facility, Offering, Size
from vaas.model import File, Snapshot
from vaas.notebook import Notebook, parse
from vaas.portal.choices import Choice
from vaas.portal.offering import Needs, choices, chosen, lacking, needs_of, needs_of_snapshot, suggested
from vaas.portal.things import Held

SMALL, LARGE = Size("small", "Small", 1, 2_000), Size("large", "Large", 8, 8_000)
BASIC = Environment("basic", "Basic", "python", "/basic", state="ready", modules={"numpy": "numpy"})
FULL = Environment(
    "full", "Full", "python", "/full", state="ready", modules={"numpy": "numpy", "sklearn": "scikit-learn"}
)
R = Environment("r", "R", "kernelspec", "/r", language="R", state="ready")
HERE = Facility("here", "This machine", "local", ("basic", "full"), ("small", "large"), stores=("home", "shared"))
FAR = Facility("far", "Cluster", "slurm", ("full",), ("large",))


def offering(*facilities: Facility, environments: tuple[Environment, ...] = (BASIC, FULL, R)) -> Offering:
    return Offering(facilities or (HERE, FAR), environments, (SMALL, LARGE))


def read(*cells: Any, **said: Any) -> Notebook:
    return parse(notebook(*cells, **said), name="n.ipynb")


def held(size: int | None = None, *, store: str = "", state: str = "there") -> Held:
    access: Mapping[str, Any] = {"how": "store", "via": {"store": store}} if store else {"how": "http", "via": {}}
    return Held(
        Thing("1", "b", "file", "u", "t", "here", "r", datetime(2026, 1, 1, tzinfo=UTC), size, access=access), state
    )


def file(path: str, *, kind: str = "file", format: str = "") -> Held:
    access = {"how": "store", "via": {"store": "home", "path": path}}
    added = datetime(2026, 1, 1, tzinfo=UTC)
    return Held(Thing("1", "b", kind, "u", "t", "here", "r", added, 1, access=access, shown={"format": format}))


def named(found: tuple[Choice, ...]) -> list[str]:
    return [f"{each.facility.id} {each.environment.id} {each.size.id}" for each in found if each.possible]


def test_it_needs_what_its_code_imports_and_neither_the_language_nor_its_own_modules() -> None:
    book = read(
        "import os, numpy as np\nfrom sklearn.svm import SVC\nimport mine\nfrom pkg import deep", "%matplotlib inline"
    )
    own = {
        "mine.py": "import pandas\nimport other\ntry:\n    import polars\nexcept ImportError:\n    pass",
        "other.py": "import mine, xarray",
        "src/pkg/deep.py": "import netCDF4",
        "setup.py": "import setuptools",
        "tests/test_mine.py": "import pytest",
    }
    needs = needs_of(book, own=own)
    assert needs.modules == {"numpy", "sklearn", "pandas", "xarray", "netCDF4"}
    assert needs.optional == {"polars"} and needs.language == "python" and needs.data == {}


@pytest.mark.parametrize("batch", [False, True])
def test_an_image_is_for_places_that_have_containers(batch: bool) -> None:
    image = Environment("box", "In a box", "image", "registry.example.org/box:1", state="ready")
    places = [Facility(kind, kind, kind, ("box",), ("small",)) for kind in ("local", "slurm", "docker", "kubernetes")]
    found = choices(offering(*places, environments=(image,)), Needs(), ADA, batch=batch)
    assert named(found) == ["docker box small", "kubernetes box small"]
    assert {each.why_not for each in found[2:]} == {
        "It is the image of a container, and no containers run here. Choose another environment or place."
    }


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"facility": "moon"}, "facility", "This place is not offered here. Choose another one."),
        ({"facility": "far", "size": "small"}, "size", "This size is not offered here. Choose another one."),
        ({"facility": "far"}, "facility", "“Cluster” cannot be chosen. It is for members of oceans."),
        ({"facility": "far", "environment": "full"}, "facility", "“Cluster” cannot be chosen. It is for"),
        ({"environment": "r"}, "environment", "“R” cannot be chosen. The notebook is in Python, and this runs R."),
        ({"facility": "here", "environment": "full"}, "environment", "“Full” cannot be chosen. It does not lie there."),
        ({"size": "huge"}, "size", "“Huge” cannot be chosen. This machine has 8 cores."),
        ({"environment": "full", "size": "huge"}, "environment", "“Full” cannot be chosen. It does not lie there."),
    ],
)
def test_what_was_chosen_and_cannot_be_is_named(said: dict[str, str], field: str, words: str) -> None:
    lacks = {"full": "It does not lie there."}, {"huge": "This machine has 8 cores."}
    here = replace(HERE, environments=("basic", "r"), lacks_environments=lacks[0], lacks_sizes=lacks[1])
    whole = offering(here, replace(FAR, groups=("oceans",)))
    found = choices(replace(whole, sizes=(*whole.sizes, Size("huge", "Huge", 64, 8_000))), Needs(), ADA)
    with pytest.raises((Invalid, Forbidden), match=re.escape(words)) as refused:
        chosen(found, **said)
    assert refused.value.field == field
    assert chosen(found, size="large").environment.id == "basic"


def test_what_has_no_notebook_needs_no_language_and_nobody_knows_what_reads_data_elsewhere() -> None:
    needs = needs_of(None, held=[file("a.nc")])
    found = choices(offering(replace(HERE, environments=("r", "basic"), sizes=("small",))), needs, ADA)
    assert {each.environment.id: (each.why_not, each.missing, each.unread) for each in found} == {
        "r": ("", None, ()),
        "basic": ("", (), ("NetCDF",)),
    }
    assert suggested(found).environment.id == "basic", "it is opened in Python"  # type: ignore[union-attr]


def test_a_place_says_why_nothing_of_its_own_can_be_chosen_rather_than_what_it_lacks() -> None:
    far = replace(FAR, environments=("r",), lacks_environments={"basic": "It does not lie there."})
    found = choices(offering(far), Needs(), ADA)
    (place,) = places(found)
    assert place["why_not"] == "The notebook is in Python, and this runs R."
    with pytest.raises(Forbidden, match="“Cluster” cannot be chosen. The notebook is in Python") as refused:
        chosen(found, facility="far")
    assert refused.value.field == "facility"


def test_a_notebook_in_another_language_needs_that_language() -> None:
    needs = needs_of(read("library(dplyr)", language="R"))
    assert (needs.language, needs.modules) == ("r", frozenset())
    found = choices(offering(replace(HERE, environments=("r", "basic"))), needs, ADA)
    assert named(found) == ["here r small", "here r large"]
    assert {each.why_not for each in found[2:]} == {"The notebook is in R, and this runs Python."}


def test_data_counts_where_it_lies() -> None:
    things = [held(5, store="home"), held(7, store="home"), held(3, store="shared-open"), held(11), held(None)]
    things += [held(2, store="webdav1"), held(99, store="home", state="gone")]
    needs = needs_of(None, held=things)
    assert needs.data == {"home": 12, "shared": 3, "elsewhere": 13} and needs.unsized == {"elsewhere"}
    here, far = (each for each in choices(offering(), needs, ADA) if each.environment is FULL and each.size is LARGE)
    assert (here.facility.id, here.copied, here.unsized) == ("here", 13, True)
    assert (far.facility.id, far.copied, far.unsized) == ("far", 28, True)


def test_a_version_is_read_as_it_is_kept(tmp_path: Path) -> None:
    content = Content(tmp_path)
    huge = b"import netCDF4\n" + b"#" * 3_000_000
    kept = {"n.ipynb": notebook("import numpy, mine, huge"), "mine.py": b"import astropy", "huge.py": huge}
    files = tuple(File(path, *content.add(data)) for path, data in kept.items())
    needs = needs_of_snapshot(content, Snapshot("h", "n.ipynb", files), report={"peak_bytes": 3_000, "ok": True})
    assert needs.modules == {"numpy", "astropy"} and needs.memory == 3_000
    assert needs_of_snapshot(content, Snapshot("h", "gone.ipynb", files)) == Needs()
    broken = (File("n.ipynb", *content.add(b"{")),)
    assert needs_of_snapshot(content, Snapshot("h", "n.ipynb", broken)) == Needs()


@pytest.mark.parametrize("peak", [None, "much", -1, []])
def test_a_report_that_says_nothing_of_memory_needs_none(peak: Any) -> None:
    assert needs_of(None, report={"peak_bytes": peak}).memory == 0


def test_what_lacks_least_comes_first_and_names_what_it_lacks() -> None:
    needs = Needs(modules=frozenset({"numpy", "sklearn", "PIL"}))
    found = choices(offering(), needs, ADA)
    assert named(found)[0] == "here full small" and named(found)[-1] == "here basic large"
    missing = {each.environment.id: each.missing for each in found}
    assert missing == {"full": ("pillow",), "basic": ("pillow", "scikit-learn")}


def test_a_module_is_found_by_what_can_be_imported_else_by_the_packages_name() -> None:
    needs = Needs(modules=frozenset({"sklearn", "PIL", "dateutil", "yaml"}))
    packages = {"Scikit_Learn": "1", "Pillow": "12", "python.dateutil": "", "pyyaml": "6"}
    listed = Environment("e", "E", "image", "i", packages=packages)
    assert lacking(listed, needs) == ()
    assert lacking(replace(listed, packages={"sklearn": "0"}), needs) == (
        "pillow",
        "python-dateutil",
        "PyYAML",
        "scikit-learn",
    )
    assert lacking(replace(listed, modules={"sklearn": ""}), needs) == ("pillow", "python-dateutil", "PyYAML")


def test_what_nobody_knows_comes_behind_what_fits_and_before_what_lacks_something() -> None:
    unknown = Environment("unknown", "Unknown", "kernelspec", "/k")
    needs = Needs(modules=frozenset({"sklearn"}))
    one = replace(HERE, environments=("basic", "unknown", "full"), sizes=("small",))
    found = choices(offering(one, environments=(BASIC, FULL, unknown)), needs, ADA)
    assert named(found) == ["here full small", "here unknown small", "here basic small"]
    assert found[1].missing is None and lacking(unknown, Needs()) == ()


def test_among_equals_the_data_decides_then_the_sites_order() -> None:
    near = replace(FAR, id="near", stores=("home",))
    needs = Needs(data={"home": 10})
    assert named(choices(offering(FAR, near), needs, ADA)) == ["near full large", "far full large"]
    assert named(choices(offering(FAR, near), Needs(), ADA)) == ["far full large", "near full large"]
    assert named(choices(offering(HERE), Needs(), ADA))[:2] == ["here basic small", "here basic large"]
    unsized = Needs(unsized=frozenset({"home"}))
    assert named(choices(offering(FAR, near), unsized, ADA))[0] == "near full large"


def test_a_place_that_does_not_answer_can_be_chosen_and_is_suggested_behind_all_others() -> None:
    silent = replace(FAR, silent="It does not answer.")
    lacks = Needs(modules=frozenset({"sklearn"}))
    found = choices(offering(silent, replace(HERE, environments=("basic",))), lacks, ADA)
    assert named(found) == ["here basic small", "here basic large", "far full large"]
    assert named(choices(offering(FAR, replace(HERE, environments=("basic",))), lacks, ADA))[0] == "far full large"


def test_what_reads_the_data_comes_first_and_what_does_not_says_so() -> None:
    reads = replace(BASIC, id="reads", modules={"numpy": "numpy", "netCDF4": "netCDF4", "polars": "polars"})
    listed = replace(BASIC, id="listed", modules={}, packages={"PyArrow": "1", "xarray": "1", "h5netcdf": "1"})
    here = replace(HERE, environments=("basic", "listed", "reads"), sizes=("small",))
    needs = needs_of(None, held=[file("a.nc"), file("b.parquet"), file("c.dat", format="hdf5"), file("d.csv")])
    assert needs.formats == {"netcdf", "parquet", "hdf5"}
    found = choices(offering(here, environments=(BASIC, listed, reads)), needs, ADA)
    assert {each.environment.id: each.unread for each in found} == {
        "listed": ("HDF5",),
        "reads": ("HDF5",),
        "basic": ("HDF5", "NetCDF", "Parquet"),
    }
    assert named(found)[-1] == "here basic small" and {each.missing for each in found} == {()}


def test_of_an_environment_that_nobody_knows_it_is_not_said_what_it_cannot_read() -> None:
    unknown = Environment("unknown", "Unknown", "kernelspec", "/k")
    needs = needs_of(read("import numpy"), held=[file("a.nc"), file("x.nc", kind="app")])
    here = replace(HERE, environments=("basic", "unknown"), sizes=("small",))
    found = choices(offering(here, environments=(BASIC, unknown)), needs, ADA)
    assert [(each.environment.id, each.missing, each.unread) for each in found] == [
        ("unknown", None, ()),
        ("basic", (), ("NetCDF",)),
    ]
    assert needs_of(read("1", language="R"), held=[file("a.nc")]).formats == set()


def test_what_an_app_was_published_with_may_not_read_what_goes_along() -> None:
    own = Environment("own", "As published", "lock", "e" * 64, state="ready", modules={"numpy": "numpy"})
    here = replace(HERE, environments=("own",), sizes=("small",))
    needs = replace(needs_of(None, held=[file("a.h5")]), modules=frozenset({"sklearn"}))
    (found,) = choices(offering(here, environments=(own,)), needs, ADA)
    assert (found.missing, found.unread) == ((), ("HDF5",))


def test_what_an_app_was_published_with_comes_first() -> None:
    own = Environment("own", "As published", "lock", "e" * 64, state="ready", modules={"numpy": "numpy"})
    here = replace(HERE, environments=("full", "own"), sizes=("small",))
    found = choices(offering(here, environments=(FULL, own)), Needs(modules=frozenset({"numpy", "sklearn"})), ADA)
    assert named(found) == ["here own small", "here full small"]
    assert [each.missing for each in found] == [(), ()], "it was checked in it"


def test_what_took_more_memory_gets_a_size_that_has_it() -> None:
    found = choices(offering(HERE), Needs(memory=3_000), ADA)
    assert named(found)[0] == "here basic large"
    assert {each.size.id for each in found if each.tight} == {"small"} and all(each.possible for each in found)
    (place,) = places(found)
    told = {each["value"].id: each["short"] for each in place["sizes"]}
    assert told == {"small": "It has less memory than the check took.", "large": ""}


def test_what_works_with_a_gpu_alone_gets_a_size_that_has_one() -> None:
    whole = offering(replace(FAR, sizes=("large", "gpu")))
    whole = replace(whole, sizes=(*whole.sizes, Size("gpu", "GPU", 8, 8_000, gpus=1)))
    asks, can_do_without = read("import cupy"), read("try:\n    import cupy\nexcept ImportError:\n    cupy = None")
    found = choices(whole, needs_of(asks), ADA)
    assert named(found) == ["far full gpu", "far full large"]
    assert [each.short for each in found] == ["", "It has no GPU, and the notebook imports what works with one alone."]
    assert named(choices(whole, needs_of(can_do_without), ADA)) == ["far full large", "far full gpu"]


@pytest.mark.parametrize(
    ("change", "batch", "why"),
    [
        ({"groups": ("physics",)}, False, "It is for members of physics."),
        ({"groups": ("physics", "staff", "chemistry")}, False, "It is for members of physics, staff or chemistry."),
        ({"interactive": False}, False, "It takes batch jobs only."),
        ({"batch": False}, True, "It takes no batch jobs."),
        ({"about": {"status": "down"}}, False, "It is closed at the moment."),
        ({"about": {"status": "down", "note": "Closed until May."}}, True, "Closed until May."),
    ],
)
def test_what_cannot_be_chosen_says_why_and_comes_last(change: dict[str, Any], batch: bool, why: str) -> None:
    found = choices(offering(replace(HERE, **change), FAR), Needs(), EVE, batch=batch)
    assert named(found) == ["far full large"] and suggested(found) is found[0]
    assert {each.why_not for each in found[1:]} == {why} and len(found) == 5


def test_a_group_opens_what_is_for_it_and_nothing_opens_what_is_broken() -> None:
    mine = replace(HERE, groups=("physics",), environments=("basic",), sizes=("small",))
    assert named(choices(offering(mine), Needs(), ADA)) == ["here basic small"]
    broken = replace(BASIC, state="broken", why="It does not answer.")
    found = choices(offering(mine, environments=(broken,)), Needs(), ADA)
    assert [each.why_not for each in found] == ["It cannot be used at the moment. It does not answer."]
    assert suggested(found) is None


def test_a_form_says_why_of_what_cannot_be_chosen_at_a_place_and_of_nothing_else() -> None:
    here = replace(HERE, environments=("basic", "r"), sizes=("small",))
    here = replace(here, lacks_environments={"full": "It lies elsewhere."}, lacks_sizes={"large": "It is too large."})
    (place,) = places(choices(offering(here), Needs(), ADA))
    assert place["why_not"] == "" and (place["environment"], place["size"]) == ("basic", "small")
    assert {each["value"].id: each["why_not"] for each in place["environments"]} == {
        "basic": "",
        "r": "The notebook is in Python, and this runs R.",
        "full": "It lies elsewhere.",
    }
    assert {each["value"].id: each["why_not"] for each in place["sizes"]} == {"small": "", "large": "It is too large."}


def test_what_a_facility_names_and_nobody_knows_is_no_choice() -> None:
    assert choices(offering(replace(HERE, environments=("gone",))), Needs(), ADA) == ()
    assert choices(offering(replace(HERE, sizes=("gone",))), Needs(), ADA) == ()

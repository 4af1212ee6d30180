"""The file of what a site offers: what it gives, and that whatever is wrong in it is named with its line."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hub_service import control
from hub_service.application import make_portal
from hub_service.environments import environments_folder
from hub_service.facilities_file import PortalElsewhere, declared, read_facilities
from hub_service.offered import default_offering
from hub_service.settings import ROOT, Settings
from vaas.errors import Invalid
from vaas.portal.facilities import Site

GOOD = """[site]
name = "Institute of Seas"
contact = "help@seas.example.org"
url = "https://seas.example.org"

[[portal]]
title = "Institute of Skies"
url = "https://vaas.skies.example.org/services/vaas"

[[size]]
id = "small"
title = "Small"
memory = "2 GB"

[[size]]
id = "large"
title = "Large"
cores = 8
memory = "1.5 TiB"
gpus = 1
hours = 12.5

[[environment]]
id = "apps"
title = "As in apps"
kind = "python"

[[environment]]
id = "lcg"
title = "LCG"
kind = "kernelspec"
path = "/cvmfs/sft.example.org/lcg/views/*/x86_64/share/jupyter/kernels"

[[environment]]
id = "r"
title = "R"
kind = "image"
image = "registry.example.org/r:4.5"
language = "R"
packages = { dplyr = "1.1" }

[[facility]]
id = "here"
title = "This machine"
kind = "local"
environments = ["apps", "lcg"]
sizes = ["small"]

[[facility]]
id = "cluster"
title = "Cluster"
kind = "kubernetes"
environments = ["r"]
sizes = ["large", "small"]
groups = ["physics"]
interactive = false
profile = "gpu"
status = "down"
note = "Closed until Monday."
technology = ["Kubernetes 1.33"]

[facility.hardware]
nodes = 4
memory = "2 TB"
processor = "AMD EPYC"

[[facility.storage]]
title = "Scratch"
size = "1 PB"

[[facility.storage]]
title = "Archive"
protocols = ["WebDAV"]
about = "On tape."
"""
APPS = Path("/opt/apps/bin/python")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "facilities.toml"
    path.write_text(GOOD)
    return path


CLUSTER = """
[[facility]]
id = "waves"
title = "Waves"
kind = "slurm"
environments = ["apps"]
sizes = ["small"]
environments_shared = true
"""


def test_all_comes_as_it_is_written(file: Path) -> None:
    said = read_facilities(file, apps=APPS)
    assert said.site == Site("Institute of Seas", "", "help@seas.example.org", "https://seas.example.org")
    assert said.portals == (PortalElsewhere("Institute of Skies", "https://vaas.skies.example.org/services/vaas/"),)
    small, large = said.offering.sizes
    assert (small.cores, small.memory, small.gpus, small.seconds) == (1, 2_000_000_000, 0, 0)
    assert (large.cores, large.memory, large.gpus, large.seconds) == (8, 3 * 2**39, 1, 45_000)
    apps, lcg, r = said.offering.environments
    assert (apps.kind, apps.where, apps.language, apps.state) == ("python", str(APPS), "python", "unknown")
    assert (lcg.kind, lcg.state) == ("kernelspec", "unknown") and "*" in lcg.where
    assert (r.where, r.language, r.state, r.packages) == ("registry.example.org/r:4.5", "r", "ready", {"dplyr": "1.1"})
    here, cluster = said.offering.facilities
    assert (here.environments, here.stores, here.groups) == (("apps", "lcg"), ("home", "shared"), ())
    assert (here.interactive, here.batch, here.about) == (True, True, {"status": "up"})
    assert (cluster.sizes, cluster.groups, cluster.stores) == (("large", "small"), ("physics",), ())
    assert (cluster.interactive, cluster.batch) == (False, True)
    assert cluster.about == {
        "hardware": {"memory": 2 * 10**12, "nodes": 4, "processor": "AMD EPYC"},
        "technology": ["Kubernetes 1.33"],
        "storage": [
            {"title": "Scratch", "size": 10**15, "protocols": []},
            {"title": "Archive", "about": "On tape.", "protocols": ["WebDAV"]},
        ],
        "status": "down",
        "note": "Closed until Monday.",
        "profile": "gpu",
    }


def test_environments_that_people_cannot_enter_are_not_said_to_be_on_a_cluster(tmp_path: Path) -> None:
    path, made = tmp_path / "facilities.toml", tmp_path / "made"
    path.write_text(GOOD + CLUSTER)
    assert read_facilities(path, apps=APPS).offering.facilities[-1].environments_shared
    assert not read_facilities(path, apps=APPS).offering.facilities[0].environments_shared
    settings = replace(Settings.from_environ({}), app_python=APPS, facilities=path, data=tmp_path / "data")
    with pytest.raises(Invalid, match="VAAS_ENVIRONMENTS_FOLDER"):
        declared(settings)
    made.mkdir(mode=0o700)
    settings = Settings.from_environ(settings.to_environ() | {"VAAS_ENVIRONMENTS_FOLDER": str(made)})
    assert Settings.from_environ(settings.to_environ()) == settings and environments_folder(settings) == made
    with pytest.raises(Invalid, match="mkdir -m 711"):
        declared(settings)
    made.chmod(0o711)
    assert declared(settings).offering.facility("waves")


def test_without_a_file_this_machine_is_offered(tmp_path: Path) -> None:
    settings = replace(Settings.from_environ({}), app_python=APPS)
    assert declared(settings).offering == default_offering(settings)
    assert (declared(settings).site, declared(settings).portals) == (Site(), ())
    path = tmp_path / "facilities.toml"
    path.write_text(GOOD)
    assert declared(replace(settings, facilities=path)).offering.facility("cluster")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("[site]", "colour = 1\n[site]", 1, "“colour” is not known here. There are [site]"),
        ('profile = "gpu"', "environments_shared = true", 57, "is for batch systems: slurm and htcondor"),
        ("[[portal]]", "[portal]", 6, "begins with [[portal]]"),
        ('name = "Institute of Seas"\n', "", 1, "This site has no “name”"),
        ('url = "https://seas.example.org"', 'url = "seas"', 4, "no web address"),
        ('url = "https://vaas.skies', 'url = "ftp://vaas.skies', 8, "no web address"),
        ('id = "large"', 'id = "small"', 16, "two with the id “small”"),
        ('id = "large"', 'id = "Large"', 16, "is no id"),
        ('id = "large"', 'id = "la--rge"', 16, "single hyphens"),
        ('memory = "1.5 TiB"', "memory = 8", 19, "quotation marks"),
        ('memory = "1.5 TiB"', 'memory = "much"', 19, "written like “2 GB”"),
        ('memory = "1.5 TiB"', 'memory = "0 GB"', 19, "written like “2 GB”"),
        ("cores = 8", "cores = 0", 18, "“cores” is 0.1 to 10,000."),
        ("cores = 8", "cores = true", 18, "“cores” is 0.1"),
        ("gpus = 1", "gpus = 1.5", 20, "whole number"),
        ("hours = 12.5", "hours = -1", 21, "“hours” is 0 to 8,784 hours"),
        ("hours = 12.5", 'hourz = "1"', 21, "“hourz” is not known. There are id, title, cores"),
        ('id = "lcg"', 'id = "beside"', 29, "“beside” is what packages of a notebook’s own are called everywhere"),
        (
            'kind = "python"',
            'kind = "python"\npath = "/x/python"',
            24,
            "“apps” is what the environment of all apps is called",
        ),
        ('kind = "kernelspec"', 'kind = "conda"', 31, "no kind of environment. There are python, kernelspec, image"),
        ('kind = "kernelspec"\n', "", 28, "This environment has no “kind”"),
        ('path = "/cvmfs', 'path = "cvmfs', 32, "no path from the root on"),
        ('path = "/cvmfs', 'path = "/opt/../cvmfs', 32, "no path from the root on"),
        ("views/*/", "views/**/", 32, "“*” alone is known"),
        ("views/*/", "views/LCG_10[67]/", 32, "“*” alone is known"),
        ("path =", 'image = "x"\npath =', 32, "has “path”, not “image”"),
        ("path = ", "probe = false\npath = ", 33, "has to be looked at"),
        ("path = ", 'packages = { a = "1" }\npath = ', 32, "say “packages” for images"),
        ('image = "registry.example.org/r:4.5"\n', "", 34, "This environment has no “image”"),
        ('{ dplyr = "1.1" }', '["dplyr"]', 40, "is a table such as"),
        ('kind = "local"', 'kind = "cloud"', 45, "no kind of facility. There are local, slurm, htcondor"),
        ('environments = ["apps", "lcg"]\n', "", 42, "name one at least"),
        ('environments = ["apps", "lcg"]', "environments = []", 46, "name one at least"),
        ('environments = ["apps", "lcg"]', 'environments = "apps"', 46, "list of texts"),
        ('["apps", "lcg"]', '["apps", "lgc"]', 46, "no “lgc” among the environments. There are apps, lcg, r"),
        ('["apps", "lcg"]', '["apps", "r"]', 46, "kind “local”. Take it out of “environments” here, and name one of"),
        ('["apps", "lcg"]', '["apps", "r"]', 46, "kind “python” or “kernelspec”; it runs at docker or kubernetes."),
        ('environments = ["r"]', 'environments = ["apps"]', 53, "not run at a facility of kind “kubernetes”"),
        ('sizes = ["small"]', 'sizes = ["tiny"]', 47, "no “tiny” among the sizes"),
        ('sizes = ["small"]', 'sizes = ["small"]\nstores = ["attic"]', 48, "no store. There are home, shared"),
        ('sizes = ["small"]', 'sizes = ["small"]\nprofile = "x"', 48, "has no profiles"),
        ("interactive = false", 'interactive = "no"', 56, "true or false"),
        ("interactive = false", "interactive = true", 49, "is gone when it ends"),
        ("interactive = false", 'stores = ["shared"]', 56, "is gone when it ends"),
        ('status = "down"', 'status = "away"', 58, "There are up, down"),
        ("nodes = 4", "nodes = -4", 63, "“nodes” is 0"),
        ("nodes = 4", 'colour = "red"', 63, "“colour” is not known. There are memory, nodes"),
        ('size = "1 PB"', 'size = "1 pound"', 69, "written like “2 GB”"),
        ('title = "Archive"', 'titel = "Archive"', 72, "“titel” is not known"),
        ('title = "Archive"\n', "", 71, "has no “title”"),
        ('protocols = ["WebDAV"]', "protocols = 7", 73, "list of texts"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(Invalid) as said:
        read_facilities(file, apps=APPS)
    assert f"VAAS_FACILITIES={file}, line {line}: " in said.value.message, said.value.message
    assert words in said.value.message, said.value.message


def test_what_names_no_place_or_is_no_file_is_said(file: Path) -> None:
    file.write_text("")
    with pytest.raises(Invalid, match=r"no place to run. Begin one with \[\[facility\]\]"):
        read_facilities(file, apps=APPS)
    file.unlink()
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_facilities(file, apps=APPS)


def test_a_mistake_stops_the_start(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD.replace('kind = "local"', 'kind = "cloud"'))
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("VAAS_FACILITIES", str(file))
        assert control.main(["up", "--data", str(tmp_path / "data")]) == 2
    assert f"VAAS_FACILITIES={file}, line 45: “cloud” is no kind of facility." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "allowed", "fits"),
    [
        ("192.168.1.7", "", False),
        ("192.168.1.7:8000", "192.168.1.7:8000", True),
        ("vaas.localhost:8000", "", False),
        ("inside.example.org", "", False),
        ("inside.example.org", "10.0.0.0/8", True),
        ("unknown.example.org", "", True),
    ],
)
def test_a_portal_on_a_private_address_that_is_not_allowed_is_named_with_its_line(
    file: Path, host: str, allowed: str, *, fits: bool
) -> None:
    file.write_text(GOOD.replace("vaas.skies.example.org", host))
    names = {"inside.example.org": ["10.1.2.3"]}
    words = rf"line 8: .* put {re.escape(host)} into VAAS_ALLOWED_PRIVATE"
    with contextlib.nullcontext() if fits else pytest.raises(Invalid, match=words):
        said = read_facilities(file, apps=APPS, allowed=allowed.split(), look_up=lambda name: names.get(name, []))
        assert said.portals[0].url == f"https://{host}/services/vaas/"


def test_such_a_portal_stops_the_start_and_an_allowed_one_does_not(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(GOOD.replace("vaas.skies.example.org", "192.168.1.7"))
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("VAAS_FACILITIES", str(file))
        assert control.main(["up", "--data", str(tmp_path / "data")]) == 2
    assert f"VAAS_FACILITIES={file}, line 8: “192.168.1.7” is inside a private network." in capsys.readouterr().err
    settings = {"VAAS_DATA": str(tmp_path / "data"), "VAAS_FACILITIES": str(file)}
    settings |= {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "JUPYTERHUB_API_TOKEN": ""}
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(Invalid, match="line 8: “192.168.1.7” is inside a private network"):
        make_portal(Settings.from_environ(settings), settings)
    said = settings | {"VAAS_ALLOWED_PRIVATE": "192.168.0.0/16"}
    (known,) = make_portal(Settings.from_environ(said), said).facilities.neighbours.known()
    assert known.url == "https://192.168.1.7/services/vaas/"


def test_the_example_in_the_docs_can_be_used(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "facilities.md").read_text(encoding="utf-8")
    path = tmp_path / "facilities.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    said = read_facilities(path, apps=APPS)
    assert {each.kind for each in said.offering.environments} == {"python", "kernelspec", "image"}
    assert len(said.offering.facilities) >= 3 and said.portals and said.site.name

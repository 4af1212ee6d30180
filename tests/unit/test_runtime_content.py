"""A version's content: what is unpacked is what the manifest lists, and only some of it is shown."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vaas.errors import Invalid
from vaas.model import File
from vaas.runtime.content import served, unpack
from vaas.runtime.environment import kernel_environment
from vaas.runtime.manifest import Manifest


def listed(path: str, data: bytes = b"data") -> File:
    return File(path, hashlib.sha256(data).hexdigest(), len(data))


def tar(*members: tuple[str, bytes], change: Callable[[tarfile.TarInfo], None] | None = None) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if change is not None:
                change(member)
            archive.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def refused(stream: io.BytesIO, folder: Path, *files: File) -> None:
    inside = folder / "inside"
    inside.mkdir()
    with pytest.raises(Invalid):
        unpack(stream, inside, files=files)
    assert [path for path in folder.rglob("*") if path.is_file() and inside not in path.parents] == []


def test_the_listed_files_are_there_with_their_folders(tmp_path: Path) -> None:
    files = (listed("lesson.ipynb"), listed("data/deep/a.csv", b"1,2"))
    unpack(tar(("lesson.ipynb", b"data"), ("data/deep/a.csv", b"1,2")), tmp_path, files=files)
    assert (tmp_path / "data/deep/a.csv").read_bytes() == b"1,2"


def test_files_can_be_read_and_written_by_nobody(tmp_path: Path) -> None:
    unpack(tar(("a.txt", b"data")), tmp_path, files=(listed("a.txt"),))
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o444


@pytest.mark.parametrize("name", ["../a.txt", "/a.txt", "b/../../a.txt", "./a.txt", "a\\b.txt", "", "."])
def test_a_path_that_leads_elsewhere_is_refused_even_when_listed(tmp_path: Path, name: str) -> None:
    refused(tar((name, b"data")), tmp_path, listed(name))


def test_a_file_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    refused(tar(("a.txt", b"data"), ("b.txt", b"data")), tmp_path, listed("a.txt"))


def test_a_file_that_is_missing_is_noticed(tmp_path: Path) -> None:
    refused(tar(("a.txt", b"data")), tmp_path, listed("a.txt"), listed("b.txt"))


def test_a_file_that_comes_twice_is_refused(tmp_path: Path) -> None:
    refused(tar(("a.txt", b"data"), ("a.txt", b"data")), tmp_path, listed("a.txt"))


def test_a_file_with_another_content_is_refused_and_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        unpack(tar(("a.txt", b"atad")), tmp_path, files=(listed("a.txt"),))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    refused(tar(("a.txt", b"data and more")), tmp_path, listed("a.txt"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, "/etc/passwd"

    refused(tar(("a.txt", b""), change=change), tmp_path, listed("a.txt", b""))


def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = tar(("a.txt", b"x" * 5000)).getvalue()
    refused(io.BytesIO(whole[:1000]), tmp_path, listed("a.txt", b"x" * 5000))


FILES = (listed("img/a b.png"), listed("lesson.ipynb"), listed("secret.csv"), listed("helper.py"), listed("UP.PNG"))


@pytest.mark.parametrize("path", ["img/a b.png", "UP.PNG"])
def test_pictures_of_the_version_are_shown(path: str) -> None:
    assert served(path, FILES)


@pytest.mark.parametrize(
    "path",
    [
        "lesson.ipynb",
        "secret.csv",
        "helper.py",
        "other.png",
        "img/../img/a b.png",
        "/img/a b.png",
        "img//a b.png",
        "up.png",
        "",
    ],
)
def test_nothing_else_is_shown(path: str) -> None:
    assert not served(path, FILES)


def test_a_kernel_sees_no_secret_of_the_server(tmp_path: Path) -> None:
    source = {
        "PATH": "/bin",
        "LC_TIME": "C",
        "JUPYTERHUB_API_TOKEN": "t",
        "VAAS_PORTAL_URL": "u",
        "AWS_SECRET_ACCESS_KEY": "s",
        "HOME": "/root",
        "JPY_PARENT_PID": "1",
    }
    env = kernel_environment(source, home=tmp_path, fonts=tmp_path, request={"QUERY_STRING": "a=1"})
    assert "t" not in env.values() and "u" not in env.values() and "s" not in env.values()
    assert not [name for name in env if name.startswith(("JUPYTERHUB_", "VAAS_", "JPY_"))]
    assert (env["PATH"], env["LC_TIME"], env["HOME"], env["QUERY_STRING"]) == ("/bin", "C", str(tmp_path), "a=1")


def test_an_operator_may_pass_more_but_not_the_servers_own_secrets(tmp_path: Path) -> None:
    source = {"VAAS_KERNEL_ENV": "HTTPS_PROXY, JUPYTERHUB_API_TOKEN", "HTTPS_PROXY": "p", "JUPYTERHUB_API_TOKEN": "t"}
    env = kernel_environment(source, home=tmp_path, fonts=tmp_path, request={})
    assert env["HTTPS_PROXY"] == "p"
    assert "JUPYTERHUB_API_TOKEN" not in env


def test_figures_do_not_bring_the_whole_library(tmp_path: Path) -> None:
    assert kernel_environment({}, home=tmp_path, fonts=tmp_path, request={})["PLOTLY_RENDERER"] == "plotly_mimetype"


def manifest_json(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "server": "/user/app-x/v3/",
        "app": {"id": "x", "slug": "waves", "title": "Waves", "owner": "ada", "description": ""},
        "version": "3",
        "hash": "00",
        "notebook": "a.ipynb",
        "files": [{"path": "a.ipynb", "sha256": "00", "size": 1}],
        "ticket_key": "A" * 43,
        "portal": "https://Portal.example:8443/services/vaas/",
        "about": "a",
        "launch": "l",
        "open": "o",
        "check": None,
        "limits": {"heartbeat": 2, "something_newer": 1},
        "frame_ancestors": ["'none'"],
    }
    return whole | changes


def test_a_manifest_is_read() -> None:
    manifest = Manifest.from_json(manifest_json(check={"seconds": 300}))
    assert (manifest.server.account, manifest.server.name, manifest.server.path) == ("app-x", "v3", "/user/app-x/v3/")
    assert (manifest.portal_origin, manifest.secure) == ("https://portal.example:8443", True)
    assert (manifest.limits.heartbeat, manifest.limits.lost_after, manifest.check_seconds) == (2, 60, 300)


@pytest.mark.parametrize(
    "changes", [{"files": []}, {"ticket_key": "AAAA"}, {"app": None}, {"server": "x"}, {"limits": None}, {"files": 3}]
)
def test_a_manifest_that_cannot_be_used_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        Manifest.from_json(manifest_json(**changes))

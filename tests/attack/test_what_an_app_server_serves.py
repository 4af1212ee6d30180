"""Reaching for files and routes that no visit needs, by every spelling of an address."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.service.portal_stub import LoadedPage, PortalStub, Visitor, running

pytestmark = [pytest.mark.attack, pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]
UP = ("..", "%2e%2e", "%2E%2e", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "..%00", "%uff0e%uff0e", "..;")
SLASH = ("/", "%2f", "%2F", "%252f", "%5c", "\\", "%c0%af", "//", "/./")
#: From a folder that is served, to the data and the notebook of the version, and out of it.
ESCAPES = sorted(
    {f"public{slash}{up}{slash}course{slash}data.csv" for up in UP for slash in SLASH}
    | {f"public{slash}" + f"{up}{slash}" * 9 + "etc/passwd" for up in UP for slash in SLASH}
)


@pytest.mark.parametrize(
    "start", ["voila/files/", "voila/static/", "voila/labextensions/", "voila/templates/vaas/static/"]
)
async def test_a_path_leads_out_of_no_folder(page: LoadedPage, start: str) -> None:
    found = {path: (await page.visitor.ask(start + path)).code for path in ESCAPES}
    assert {path: code for path, code in found.items() if code != 404} == {}


@pytest.mark.parametrize(
    "path",
    [
        "course/lesson.ipynb",
        "course/data.csv",
        "course/helper.py",
        "course/img",
        "course/img/",
        "course/img/../img/a.png",
        "course/img/%2e%2e/img/a.png",
        "course/img/a.png/",
        "course/img/a.png%00",
        "course/img/a.png%00.csv",
        "course/img/a.png;.csv",
        "course/data.csv%00.png",
        "course/data.csv?.png",
        "course//img//a.png",
        "./course/img/a.png",
        "../content/course/img/a.png",
        "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "course%5Cimg%5Ca.png",
        "course%c0%afimg%c0%afa.png",
        "course%252fimg%252fa.png",
        "COURSE/IMG/A.PNG",
        "~root/.profile",
        ".",
        "",
    ],
)
async def test_no_file_is_served_but_a_picture_by_its_exact_name(page: LoadedPage, path: str) -> None:
    assert (await page.visitor.ask("voila/files/course/img/a.png")).code == 200
    assert (await page.visitor.ask(f"voila/files/{path}")).code == 404


async def test_a_link_that_a_kernel_put_in_a_pictures_place_is_not_followed(page: LoadedPage, folder: Path) -> None:
    (picture,) = folder.glob("vaas-*/content/course/img/b.png")
    assert (await page.visitor.ask("voila/files/course/img/b.png")).code == 200
    picture.parent.chmod(0o700)
    picture.unlink()
    picture.symlink_to("/etc/passwd")
    answer = await page.visitor.ask("voila/files/course/img/b.png")
    assert (answer.code, b"root:" in answer.body) == (404, False)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
async def test_a_version_holds_no_links(tmp_path: Path, kind: bytes) -> None:
    lesson = notebook("1 + 1")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.ipynb")
        member.size = len(lesson)
        archive.addfile(member, io.BytesIO(lesson))
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = kind, "/etc/passwd"
        archive.addfile(link)
    portal = PortalStub({"a.ipynb": lesson, "a.png": b""}, notebook="a.ipynb", tar=buffer.getvalue())
    async with portal.served():
        with pytest.raises(AssertionError, match="not announced"):
            async with running(portal, folder=tmp_path):
                pass


@pytest.mark.parametrize(
    "path",
    [
        "api/kernels",
        "api/kernelspecs",
        "api/sessions",
        "api/contents",
        "api/contents/course/lesson.ipynb",
        "api/terminals",
        "api/config/notebook",
        "api/nbconvert",
        "api/security/csp-report",
        "api/shutdown",
        "api/events",
        "api/status",
        "api/me",
        "lab",
        "lab/api/extensions",
        "lab/api/settings",
        "lab/api/workspaces",
        "lsp/status",
        "nbextensions/x",
        "kernelspecs/python3/logo-64x64.png",
        "login",
        "logout",
        "files/course/lesson.ipynb",
        "view/course/lesson.ipynb",
        "edit/course/helper.py",
        "nbconvert/html/course/lesson.ipynb",
        "static/base/js/main.js",
        "voila/tree",
        "voila/render/course/lesson.ipynb",
        "voila/api/contents",
        "voila/api/themes/x",
        "voila/api/shutdown/x",
        "voila/templates/lab/static/index.css",
        "voila/templates/x",
        "voila/static/",
        "voila/static/../vaas.js",
        "voila/static/%2e%2e/conf.json",
        "voila/static/%2e%2e%2fconf.json",
        "voila/labextensions/../../../../etc/passwd",
        "voila/labextensions/%00",
        "terminals/1",
        "terminals/websocket/1",
        "course/lesson.ipynb",
        "metrics",
        "favicon.ico",
        "proxy/8000/",
    ],
)
async def test_contents_terminals_sessions_and_extensions_are_one_and_the_same_404(page: LoadedPage, path: str) -> None:
    expected = await page.visitor.ask("no/such/thing")
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = await page.visitor.ask(path, method=method)
        assert (answer.code, answer.body) == (404, expected.body)


async def test_files_are_not_served_without_a_visit(mallory: Visitor, page: LoadedPage) -> None:
    assert (await mallory.ask("voila/files/course/img/a.png")).code == 404


async def test_template_and_theme_cannot_be_overridden(mallory: Visitor) -> None:
    await mallory.enter()
    for name in ("template", "voila-template", "voila_template"):
        answer = await mallory.ask(f"?{name}=reveal&theme=dark&voila-theme=dark")
        assert b'id="vaas-page"' in answer.body
        assert b'data-jp-theme-name="JupyterLab Light"' in answer.body


@pytest.mark.parametrize(
    "path", ["voila/static/voila.js", "voila/templates/vaas/static/vaas.js", "voila/files/x.js", "", "api"]
)
async def test_no_answer_of_an_app_becomes_a_service_worker(page: LoadedPage, path: str) -> None:
    assert (await page.visitor.ask(path, headers={"Service-Worker": "script"})).code == 404


async def test_every_answer_keeps_the_page_to_its_own_origin(page: LoadedPage, mallory: Visitor) -> None:
    script = await mallory.ask("voila/templates/vaas/static/vaas.js")
    for headers in (page.headers, script.headers, (await mallory.ask("no/such/thing")).headers):
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == "'self'"
        assert policy["connect-src"] == "'self' data: blob:"
        assert policy["frame-src"] == "'self' data: blob:"
        assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Origin-Agent-Cluster"] == "?1"

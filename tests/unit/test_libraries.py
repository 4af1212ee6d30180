"""Bundles of scripts: what belongs into them is read from what bundlers wrote, and what cannot be read is left out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vaas.runtime.libraries import BASE, Bundle, Libraries

MAIN = """var _JUPYTERLAB;(()=>{var g={1:(e,t,r)=>{Promise.all([r.e(10),r.e(20)]).then(r.bind(r,9))}};
i("@x/a","1.0.0",(()=>Promise.all([x.e(30),x.e(31)]).then((()=>()=>x(301)))));
y={501:()=>c("default","@x/a",!1,[1,1,0],(()=>x.e(30).then((()=>()=>x(301)))))},P={20:[501]}})()"""


def installed(root: Path, name: str, *, widgets: bool = False, needs: str = "", **modules: str) -> dict[str, Any]:
    """Install a library, and return what Voilà would tell of it."""
    static = root / name / "static"
    static.mkdir(parents=True)
    entry = (
        f'var _JUPYTERLAB;(()=>{{var m={{"./extension":()=>t.e(7).then((()=>()=>t(70)))}};m("default","{needs}")}})()'
    )
    (static / "remoteEntry.abc.js").write_text(entry)
    (static / "7.def.js").write_text("registerWidget({})" if widgets else "nothing()")
    (static / "8.def.js").write_text("more()")
    (static / "style.js").write_text("style()")
    return {"name": name, "load": "static/remoteEntry.abc.js", "extension": "./extension", **modules}


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "voila.js").write_text(MAIN)
    (folder / "libraries.js").write_text('"use strict"; globalThis.began = true;')
    for number in (10, 20, 30, 31, 40):
        (folder / f"{number}.voila.js").write_text(f"chunk{number}")
    return folder


def made(static: Path, root: Path, *told: dict[str, Any]) -> Libraries:
    return Libraries(told, roots=["/nowhere", str(root)], static=static, ours=static)


def names(libraries: Libraries, bundle: str) -> list[str]:
    return [path.name for _, path in libraries.bundles[bundle].parts]


def addresses(libraries: Libraries) -> list[str]:
    bundles = [libraries.address(name, base_url="/") for name in ("charts", BASE)]
    return [libraries.stamp, *bundles]


def cores(libraries: Libraries) -> list[str]:
    return sorted(
        name for bundle in libraries.bundles if bundle.startswith("core-") for name in names(libraries, bundle)
    )


def test_every_page_has_what_voila_asks_for_before_there_is_a_page(static: Path, tmp_path: Path) -> None:
    libraries = made(static, tmp_path)
    assert cores(libraries) == ["10.voila.js", "20.voila.js", "30.voila.js", "31.voila.js"]
    assert names(libraries, BASE) == ["libraries.js", "voila.js"]
    scripts = [address.rpartition("/")[2] for address in libraries.facts(base_url="/")["scripts"]]
    assert scripts == ["core-1.js", "core-2.js", "core-3.js", "base.js"]


def test_what_every_page_has_comes_in_pieces_of_about_one_size(static: Path, tmp_path: Path) -> None:
    for number, size in {10: 900, 20: 500, 30: 400, 31: 900}.items():
        (static / f"{number}.voila.js").write_text("x" * size)
    libraries = made(static, tmp_path)
    found = {frozenset(names(libraries, f"core-{n}")) for n in (1, 2, 3)}
    assert found == {frozenset({"10.voila.js"}), frozenset({"31.voila.js"}), frozenset({"20.voila.js", "30.voila.js"})}


def test_where_voilas_script_cannot_be_read_it_is_alone(static: Path, tmp_path: Path) -> None:
    (static / "voila.js").write_text("something(else)")
    libraries = made(static, tmp_path)
    assert cores(libraries) == []
    assert names(libraries, BASE) == ["libraries.js", "voila.js"]


def test_a_library_of_widgets_is_a_bundle_of_its_own(static: Path, tmp_path: Path) -> None:
    libraries = made(static, tmp_path, installed(tmp_path, "charts", widgets=True), installed(tmp_path, "theme"))
    assert set(libraries.bundles) == {"core-1", "core-2", "core-3", BASE, "charts"}
    assert names(libraries, "charts") == ["7.def.js", "8.def.js"]
    assert names(libraries, BASE).count("remoteEntry.abc.js") == 2
    assert cores(libraries).count("7.def.js") == 1
    told = {library["name"]: library for library in libraries.facts(base_url="/b/")["libraries"]}
    assert told["charts"]["bundle"].startswith("/b/voila/bundles/v-")
    assert "bundle" not in told["theme"]


def test_what_all_widgets_need_comes_with_every_page(static: Path, tmp_path: Path) -> None:
    libraries = made(static, tmp_path, installed(tmp_path, "@jupyter-widgets/base", widgets=True))
    assert set(libraries.bundles) == {"core-1", "core-2", "core-3", BASE}
    assert "8.def.js" in cores(libraries)


def test_a_library_that_is_not_there_is_no_misfortune(static: Path, tmp_path: Path) -> None:
    gone = {"name": "gone", "load": "static/x.js", "extension": "./extension"}
    assert made(static, tmp_path, gone).facts(base_url="/")["libraries"] == []


def test_what_a_library_builds_upon_is_used_with_it(static: Path, tmp_path: Path) -> None:
    told = [installed(tmp_path, "vuetify", widgets=True, needs="vue"), installed(tmp_path, "vue", widgets=True)]
    libraries = made(static, tmp_path, *told, installed(tmp_path, "maps", widgets=True))
    assert libraries.used(["vuetify", "@jupyter-widgets/base", "unknown"]) == ["vue", "vuetify"]
    assert libraries.used([]) == []


def test_an_address_changes_with_what_it_leads_to(static: Path, tmp_path: Path) -> None:
    told = installed(tmp_path, "charts", widgets=True)
    before = addresses(made(static, tmp_path, told))
    chunk = tmp_path / "charts" / "static" / "7.def.js"
    chunk.write_text("registerWidget({}) // newer")
    after = addresses(made(static, tmp_path, told))
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs a JavaScript engine")
def test_one_script_makes_no_other_strict_and_takes_none_with_it_when_it_fails(static: Path, tmp_path: Path) -> None:
    (static / "10.voila.js").write_text("throw new Error('broken')")
    (static / "20.voila.js").write_text("undeclared = 1 // not in strict mode")
    (static / "voila.js").write_text(MAIN.split("\n")[0].replace("var g", "_JUPYTERLAB = {}; var g") + "})()")
    (static / "voila.js").write_text(
        (static / "voila.js").read_text() + "; console.log(began, undeclared, !!_JUPYTERLAB)"
    )
    script = tmp_path / "all.js"
    libraries = made(static, tmp_path)
    bundles = [libraries.bundles[name].text() for name in ("core-1", "core-2", "core-3", BASE)]
    script.write_bytes(b"\n".join([b"globalThis.vaasLibraries = { leave() {} };", *bundles]))
    done = subprocess.run(["node", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "true 1 true"
    assert "broken" in done.stderr


#: As bundlers write plotly: a library, wrapped to work everywhere, as the only module of another library's script.
WRAPPED = (
    "(self.chunks=self.chunks||[]).push([[478],{478:t=>{var e;self,e=function(){return function(){"
    'var t={1:function(){return {says:"}()},t.exports=e()"}}};return t[1]()}()},t.exports=e()}}]);'
)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs a JavaScript engine")
def test_what_is_put_into_brackets_does_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "wrapped.js").write_text(WRAPPED)
    text = Bundle("charts", (("", tmp_path / "wrapped.js"),)).text().decode()
    assert text.count("(function(") == 3
    script = tmp_path / "run.js"
    script.write_text(
        f"globalThis.self = globalThis; {text}\n"
        "const module = {}; self.chunks[0][1][478].call(module, module); console.log(module.exports.says);"
    )
    done = subprocess.run(["node", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "}()},t.exports=e()"


def test_what_looks_different_stays_as_it_is(tmp_path: Path) -> None:
    for other in (WRAPPED.replace("t.exports", "u.exports"), WRAPPED.replace("478:t", "478:(t,n)"), "chunk()"):
        (tmp_path / "other.js").write_text(other)
        assert other in Bundle("charts", (("", tmp_path / "other.js"),)).text().decode()

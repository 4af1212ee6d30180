"""The floors of the design, read from the source: who may import whom, and what every module looks like."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES, MOST_FUNCTION_LINES = 400, 40

#: area → what it may import of ours besides itself, from the ground up.
NOUNS = frozenset({"nouns"})
THOUGHT = NOUNS | {"thought"}
PORTS = THOUGHT | {"ports"}
ADAPTERS = PORTS | {"http", "stores", "catalogs", "backends", "executors", "environments", "db", "ocm"}
FLOORS = {
    # The package itself: what notebooks call leads to the kernel that they run in.
    "": frozenset({"runtime", "client"}),
    "nouns": frozenset[str](),
    "thought": NOUNS,
    "ports": THOUGHT,
    "http": THOUGHT,
    # The standard library's, for those who have nothing else: notebooks, and app servers for them.
    "wires": NOUNS,
    # Processes and sandboxes, as those know them who start foreign code.
    "machine": NOUNS,
    "portal": PORTS,
    "stores": PORTS | {"http"},
    "catalogs": PORTS | {"http"},
    "backends": PORTS | {"http"},
    "executors": PORTS | {"http"},
    "environments": PORTS,
    "db": PORTS,
    "ocm": PORTS | {"http"},
    # In the app environment, in the sandbox that kernels have.
    "insides": PORTS | {"runtime", "machine"},
    "runtime": THOUGHT | {"wires", "machine"},
    # In the launch environment: beside a person's JupyterLab, and what runs their notebooks as jobs.
    "lab": THOUGHT | {"wires", "machine"},
    # As the package itself: what the kernel knows of its visit says how the portal is asked.
    "client": THOUGHT | {"runtime", "wires"},
    "widgets": THOUGHT | {"client"},
    "cli": THOUGHT | {"http", "client"},
    "hub_service": ADAPTERS | {"portal"},
    "dashboards": frozenset({"widgets", "client"}),
}
#: module, or package with all that is in it → its area. The longest fitting name counts.
AREAS = {
    "vaas.errors": "nouns",
    "vaas.events": "nouns",
    "vaas.keeping": "nouns",
    "vaas.launching": "nouns",
    "vaas.model": "nouns",
    "vaas.policy": "thought",
    "vaas.query": "thought",
    "vaas.notebook": "thought",
    "vaas.source": "thought",
    "vaas.files": "thought",
    "vaas.prose": "thought",
    "vaas.pictures": "thought",
    "vaas.slug": "thought",
    "vaas.tickets": "thought",
    "vaas.content": "thought",
    "vaas.addresses": "thought",
    "vaas.cookies": "thought",
    "vaas.network": "thought",
    "vaas.facts": "thought",
    "vaas.jobs": "thought",
    "vaas.differences": "thought",
    "vaas.given": "thought",
    "vaas.housekeeping": "thought",
    "vaas.loading": "thought",
    "vaas.readers": "thought",
    "vaas.packages": "thought",
    "vaas.parcels": "thought",
    "vaas.orders": "thought",
    "vaas.patience": "thought",
    "vaas.locks": "thought",
    "vaas.plans": "thought",
    "vaas.pythons": "thought",
    "vaas.requirements": "thought",
    "vaas.served": "thought",
    "vaas.questions": "thought",
    "vaas.series": "thought",
    "vaas.tabular": "thought",
    "vaas.stores.base": "ports",
    "vaas.catalogs.base": "ports",
    "vaas.backends.base": "ports",
    "vaas.executors.base": "ports",
    "vaas.environments.base": "ports",
    "vaas.db.base": "ports",
    "vaas.db.launched": "ports",
    "vaas.db.places": "ports",
    "vaas.insides": "insides",
    "vaas.insides.base": "ports",
    "vaas.insides.limits": "ports",
    "vaas.insides.names": "ports",
    "vaas.insides.answers": "ports",
    "vaas.http": "http",
    "vaas.wires": "wires",
    "vaas.batched": "wires",
    "vaas.pooled": "wires",
    "vaas.machine": "machine",
    "vaas.portal": "portal",
    "vaas.stores": "stores",
    "vaas.catalogs": "catalogs",
    "vaas.backends": "backends",
    "vaas.executors": "executors",
    "vaas.environments": "environments",
    "vaas.db": "db",
    "vaas.ocm": "ocm",
    "vaas.runtime": "runtime",
    "vaas.lab": "lab",
    "vaas.client": "client",
    "vaas.widgets": "widgets",
    "vaas.__main__": "cli",
    "vaas.cli": "cli",
    "vaas.cli_client": "cli",
    "vaas.cli_publish": "cli",
    "vaas.cli_launch": "cli",
    "vaas.cli_run": "cli",
    "vaas.cli_search": "cli",
    "hub_service": "hub_service",
    "dashboards": "dashboards",
}
#: package from elsewhere → the only places that may import it.
HOMES = {
    "tornado": ("vaas.http", "vaas.runtime", "hub_service"),
    "jupyterhub": ("vaas.backends.hub", "vaas.lab.server", "hub_service"),
    "voila": ("vaas.runtime",),
    "ipykernel": ("vaas.runtime",),
    "jupyter_client": ("vaas.runtime", "vaas.lab"),
    "nbconvert": ("vaas.runtime", "vaas.lab"),
    "nbclient": ("vaas.runtime", "vaas.lab"),
    "papermill": ("vaas.lab",),
    "cronsim": ("hub_service",),
    "sqlalchemy": ("vaas.db",),
    "alembic": ("vaas.db",),
    "sqlite3": ("vaas.db",),
    "psycopg": ("vaas.db",),
    "ipyvuetify": ("vaas.widgets", "dashboards"),
    "vois": ("vaas.widgets", "dashboards"),
    "pandas": ("vaas.client", "vaas.widgets", "dashboards"),
    "asyncinotify": ("vaas.stores",),
    "h5py": ("vaas.insides",),
    "pyarrow": ("vaas.insides", "vaas.runtime.arrow"),
    "astropy": ("vaas.insides",),
    "openpyxl": ("vaas.insides",),
    "numcodecs": ("vaas.insides",),
    "tifffile": ("vaas.insides",),
    "packaging": ("vaas.environments",),
    "plotly": ("vaas.widgets", "dashboards"),
}
#: Areas that stand on the standard library alone.
BARE = {"nouns", "thought", "ports", "portal", "wires", "machine"}
_SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE|DROP\s+TABLE)\b", re.S
)


@dataclass(frozen=True)
class Module:
    """One source file of ours."""

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def area(self) -> str:
        return area_of(self.name)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Full names of what it imports: modules, and what is taken out of them."""
        return frozenset(self._imported())

    def _imported(self) -> Iterator[str]:
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                yield from (f"{base}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__", "import_item"}:
                yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _modules() -> list[Module]:
    paths = [p for top in ("vaas", "hub_service", "dashboards") for p in sorted((ROOT / top).rglob("*.py"))]
    return [Module(p, ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")) for p in paths]


MODULES = _modules()
each = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


def area_of(name: str) -> str:
    """Return the area of a module or of something in it; "" for what is not ours."""
    parts = name.split(".")
    return next((AREAS[top] for i in range(len(parts), 0, -1) if (top := ".".join(parts[:i])) in AREAS), "")


def within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def public_names(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield public classes and functions, and the public methods of public classes."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, kinds) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def test_the_source_is_found() -> None:
    assert len(MODULES) > 50
    assert {"vaas.portal.core", "vaas.db.sql", "hub_service.application"} <= {module.name for module in MODULES}


@each
def test_every_module_has_its_floor(module: Module) -> None:
    assert module.name == "vaas" or module.area, "say in AREAS where it belongs"


@each
def test_imports_run_downwards_only(module: Module) -> None:
    ours = {name: area_of(name) for name in module.imports if within(name, ("vaas", "hub_service", "dashboards"))}
    allowed = FLOORS.get(module.area, frozenset()) | {module.area}
    # "" is the package itself, which holds the version.
    assert {name: area for name, area in ours.items() if area and area not in allowed} == {}


@each
def test_packages_from_elsewhere_stay_where_they_belong(module: Module) -> None:
    used = {name.partition(".")[0] for name in module.imports} & HOMES.keys()
    assert [package for package in used if not within(module.name, HOMES[package])] == []


@each
def test_nobody_reaches_into_the_hubs_own_tables(module: Module) -> None:
    assert [name for name in module.imports if within(name, ("jupyterhub.orm",)) or name == "jupyterhub.orm"] == []
    assert not re.search(r"\borm\.\w|jupyterhub\.orm", module.text)


@each
def test_sql_is_written_in_the_database_package_only(module: Module) -> None:
    if not within(module.name, ("vaas.db",)):
        texts = [n.value for n in ast.walk(module.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        assert [text for text in texts if _SQL.search(text)] == []


@each
def test_thought_and_portal_stand_on_the_standard_library(module: Module) -> None:
    if module.area in BARE:
        tops = {name.partition(".")[0] for name in module.imports}
        assert tops - sys.stdlib_module_names - {"vaas"} == set()


@each
def test_every_module_opens_with_a_sentence(module: Module) -> None:
    words = ast.get_docstring(module.tree) or ""
    first = " ".join(words.split("\n\n")[0].split())
    assert re.fullmatch(r"\S.{8,250}[.:]", first), first
    assert not re.search(r"[a-z)`]\. [A-Z]\S* \S+ \S+ \S+ .*\. [A-Z]", first), "one sentence, a second at most"


@each
def test_no_module_is_longer_than_it_can_be_read(module: Module) -> None:
    assert len(module.text.splitlines()) <= MOST_LINES


@each
def test_no_function_is_longer_than_a_screen(module: Module) -> None:
    functions = [n for n in ast.walk(module.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    # A migration is a list.
    if ".migrations." not in module.name:
        assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


@each
def test_every_public_name_has_a_docstring(module: Module) -> None:
    assert [name for name, node in public_names(module.tree) if not ast.get_docstring(node)] == []  # type: ignore[arg-type]


class TestTheRules:
    """The rules above would catch what they are for."""

    def module(self, tmp_path: Path, name: str, text: str) -> Module:
        path = tmp_path / f"{name.rpartition('.')[2]}.py"
        path.write_text(text)
        return Module(path, name)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("vaas.portal.core", "from vaas.db.sql import SqlDatabase"),
            ("vaas.portal.core", "from vaas.stores import folder"),
            ("vaas.portal.core", "def f():\n    import vaas.http"),
            ("vaas.portal.core", "from ..stores.folder import FolderStore"),
            ("vaas.stores.folder", "from vaas.portal import Portal"),
            ("vaas.backends.hub", "from vaas.portal.core import Core"),
            ("vaas.runtime.server", "from vaas.db.base import Query"),
            ("vaas.runtime.server", "import vaas.portal.core as core"),
            ("vaas.model", "from vaas.policy import OWNER"),
            ("vaas.policy", "from vaas.stores.base import Store"),
            ("vaas.cli", "from hub_service.control import main"),
            ("vaas.cli", "import_module('hub_service.control')"),
        ],
    )
    def test_an_import_upwards_is_caught(self, tmp_path: Path, name: str, text: str) -> None:
        with pytest.raises(AssertionError):
            test_imports_run_downwards_only(self.module(tmp_path, name, text))

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("vaas.portal.core", "import tornado.web"),
            ("vaas.backends.hub", "from tornado import gen"),
            ("vaas.stores.webdav", "from jupyterhub import utils"),
            ("hub_service.spawner", "import ipykernel"),
            ("vaas.portal.gallery", "from sqlalchemy import select"),
            ("vaas.runtime.server", "import pandas as pd"),
            ("vaas.portalx", "import tornado"),
        ],
    )
    def test_a_package_in_a_foreign_place_is_caught(self, tmp_path: Path, name: str, text: str) -> None:
        with pytest.raises(AssertionError):
            test_packages_from_elsewhere_stay_where_they_belong(self.module(tmp_path, name, text))

    def test_the_hubs_tables_are_caught(self, tmp_path: Path) -> None:
        for text in ("from jupyterhub import orm", "from jupyterhub.orm import User", "import jupyterhub.orm"):
            with pytest.raises(AssertionError):
                test_nobody_reaches_into_the_hubs_own_tables(self.module(tmp_path, "hub_service.accounts", text))

    def test_sql_in_a_string_is_caught(self, tmp_path: Path) -> None:
        with pytest.raises(AssertionError):
            test_sql_is_written_in_the_database_package_only(
                self.module(tmp_path, "vaas.portal.core", "x = 'SELECT slug FROM apps'")
            )

    def test_a_module_that_is_nowhere_is_caught(self, tmp_path: Path) -> None:
        with pytest.raises(AssertionError):
            test_every_module_has_its_floor(self.module(tmp_path, "vaas.helpers", ""))

    @pytest.mark.parametrize("text", ["", '"""x"""', "x = 1"])
    def test_a_module_without_a_sentence_is_caught(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(AssertionError):
            test_every_module_opens_with_a_sentence(self.module(tmp_path, "vaas.x", text))

    def test_a_public_name_without_a_docstring_is_caught(self, tmp_path: Path) -> None:
        for text in ("def f(): ...", "class A: ...", 'class A:\n    """A."""\n    def f(self): ...'):
            with pytest.raises(AssertionError):
                test_every_public_name_has_a_docstring(self.module(tmp_path, "vaas.x", text))

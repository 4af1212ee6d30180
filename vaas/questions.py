"""Where a notebook first needs to know of its visit, found by reading its code.

It is a forecast: where it is wrong one way an app is slower than it could be; where it is wrong the other way, as with
code in modules, the kernel notices when it is asked (:mod:`vaas.runtime.asking`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vaas.facts import ASPECTS
from vaas.notebook import Cell, Notebook
from vaas.source import parse_python

__all__ = ["BASKET_TAG", "TAG", "Question", "first_question", "takes_basket"]

#: The tag of a cell that runs anew for each visit, with all cells after it.
TAG = "visit"
#: The tag of a cell that says that the app takes a basket, where its code does not show it.
BASKET_TAG = "basket"
#: What asks when it is called, by its full name.
_ASKING = {
    "vaas.visitor",
    "vaas.basket",
    "vaas.search",
    "vaas.client.here",
    "voila.utils.get_query_string",
    "voila.utils.wait_for_request",
    "vois.vuetify.queryStrings.readParameters",
    "vois.vuetify.app.app",
}
#: The same by its last name, where it is not known what it is taken from.
_ASKING_ANYWHERE = {"get_query_string", "wait_for_request", "readParameters", "urlParameter"}
#: Full names of what reads the variable that it is given.
_READING = {"os.getenv", "os.getenvb", *(f"os.environ.{name}" for name in ("get", "pop", "setdefault", "__getitem__"))}
_ENVIRONMENTS = {"os.environ", "os.environb"}
#: They call the function that they are given, or that they decorate, at once.
_CALLERS = {"interact", "interactive", "interactive_output", "map", "filter", "reduce", "apply"}
#: What ``from x import *`` brings along.
_STARS = {
    "voila.utils": ("get_query_string", "wait_for_request"),
    "vois.vuetify": ("app", "queryStrings"),
    "vois.vuetify.app": ("app",),
    "vois.vuetify.queryStrings": ("readParameters",),
    "vaas": ("visitor", "search", "basket"),
    "vaas.client": ("here",),
    "os": ("environ", "environb", "getenv", "getenvb"),
}
_WORD = re.compile(r"\w+")
_BASKET = re.compile(r"\bvaas\.basket\b|\bfrom\s+vaas\s+import\b[^\n]{0,500}\bbasket\b")
#: In what cannot be parsed, these words are enough.
_WORDS = _ASKING_ANYWHERE | set(ASPECTS)

#: How much of called functions is gone through, in nodes of their trees.
_PATIENCE = 500_000

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


@dataclass(frozen=True)
class Question:
    """The first cell that needs to know of the visit (``cell`` counts all cells from 1), and why in a few words."""

    cell: int
    why: str


@dataclass
class _Names:
    """What the names of a notebook stand for, as far as it is known."""

    #: local name → full name
    full: dict[str, str] = field(default_factory=dict)
    functions: dict[str, _Function] = field(default_factory=dict)
    #: Methods of all classes by their name: whose an object is cannot be seen.
    methods: dict[str, list[_Function]] = field(default_factory=dict)
    #: Functions that this cell has called, to no effect; those that are being gone through are among them.
    called: set[_Function] = field(default_factory=set)
    patience: list[int] = field(default_factory=lambda: [_PATIENCE])

    def inside(self) -> _Names:
        """Return the names as a function sees them: its own stay in it."""
        return _Names(dict(self.full), dict(self.functions), self.methods, self.called, self.patience)

    def spend(self, much: int) -> bool:
        """Tell whether there is patience left for so much more; functions that call functions have no end."""
        self.patience[0] -= much
        return self.patience[0] > 0


def first_question(notebook: Notebook) -> Question | None:
    """Return the first code cell that needs to know of the visit; None when there seems to be none.

    A function that asks counts where it is called first. Of a notebook in another language only tags are read.
    """
    names = _Names()
    for cell in notebook.code:
        if "skip-execution" in cell.tags:
            continue
        why = f"it has the tag “{TAG}”" if TAG in cell.tags else ""
        if notebook.language == "python":
            why = why or _asks(cell, names)
        if why:
            return Question(cell.index, why)
    return None


def takes_basket(notebook: Notebook, modules: Iterable[str] = ()) -> bool:
    """Tell whether the notebook, or a module beside it, names ``vaas.basket``; or a cell's tag says so."""
    if any(BASKET_TAG in cell.tags for cell in notebook.cells):
        return True
    cells = [cell.source for cell in notebook.code] if notebook.language == "python" else []
    return any("basket" in source and _names_basket(source) for source in [*cells, *modules])


def _names_basket(source: str) -> bool:
    tree, body, _ = parse_python(source)
    if tree is None:
        return _BASKET.search(body) is not None
    nodes = list(ast.walk(tree))
    called = {"vaas"} | {
        alias.asname
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "vaas" and alias.asname
    }
    return any(
        (isinstance(node, ast.ImportFrom) and node.module == "vaas" and any(a.name == "basket" for a in node.names))
        or (
            isinstance(node, ast.Attribute)
            and node.attr == "basket"
            and isinstance(node.value, ast.Name)
            and node.value.id in called
        )
        for node in nodes
    )


def _asks(cell: Cell, names: _Names) -> str:
    tree, body, shell_lines = parse_python(cell.source)
    words = _WORD.findall("\n".join(shell_lines if tree else [*shell_lines, body]))
    if found := next((word for word in words if word in _WORDS), ""):
        return f"it names {found}"
    if tree is None:
        return ""
    names.called.clear()
    reader = _Reader(names)
    try:
        reader.visit(tree)
    except RecursionError:
        return "it is too deep to be read"
    return reader.why


class _Reader(ast.NodeVisitor):
    """Go through code in the order in which it runs; what is only defined is kept for when it is called."""

    def __init__(self, names: _Names, *, called: bool = False) -> None:
        self._names = names
        self._called = called
        self.why = ""

    def visit(self, node: ast.AST) -> None:
        """Look at the node unless the answer is known."""
        if self._called and not self._names.spend(1):
            self._say("it takes too long to be read")
        if not self.why:
            super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Keep what the names stand for."""
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self._bind(alias.asname or top, alias.name if alias.asname else top)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Keep what the names stand for."""
        module = node.module or ""
        for alias in node.names:
            for name in _STARS.get(module, ()) if alias.name == "*" else (alias.name,):
                self._bind(alias.asname or name, f"{module}.{name}")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Keep the function; only what stands around its body runs now."""
        self._define(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Keep the function."""
        self._define(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Leave it: it does not run now."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Keep the class and its methods."""
        self._names.functions[node.name] = node
        self._names.full.pop(node.name, None)
        for around in [*node.decorator_list, *node.bases]:
            self.visit(around)
        for part in node.body:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                self._names.methods.setdefault(part.name, []).append(part)
            else:
                self.visit(part)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Keep other names for what is known."""
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._assign(target.id, node.value)
            else:
                self.visit(target)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """See a variable that is read."""
        if self._full(node.value) in _ENVIRONMENTS and isinstance(node.ctx, ast.Load):
            self._variable(node.slice)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """See a variable that is looked for."""
        if any(self._full(right) in _ENVIRONMENTS for right in node.comparators):
            self._variable(node.left)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """See what asks, here or in the function that is called."""
        self.generic_visit(node)
        full, last = self._full(node.func), _last(node.func)
        known = full in _ASKING or (full.startswith("vois.") and full.endswith(".app"))
        if known or (last in _ASKING_ANYWHERE and last not in self._names.functions):
            self._say(f"it calls {last}()")
        elif full in _READING and node.args:
            self._variable(node.args[0])
        self._call(node.func)
        if last in _CALLERS:
            for given in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self._call(given)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.functions[node.name] = node
        self._names.full.pop(node.name, None)
        for part in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(part)
        decorators = [part.func if isinstance(part, ast.Call) else part for part in node.decorator_list]
        if any(_last(part) in _CALLERS for part in decorators):
            self._run(node, node.name)

    def _bind(self, name: str, full: str) -> None:
        self._names.full[name] = full
        self._names.functions.pop(name, None)

    def _assign(self, name: str, value: ast.expr) -> None:
        known = self._names.functions.get(value.id) if isinstance(value, ast.Name) else None
        function = value if isinstance(value, ast.Lambda) else known
        full = self._full(value)
        self._names.full.pop(name, None)
        self._names.functions.pop(name, None)
        if function is not None:
            self._names.functions[name] = function
        elif full:
            self._names.full[name] = full

    def _call(self, what: ast.expr) -> None:
        """Go through what is called, if it is the notebook's own."""
        if isinstance(what, ast.Lambda):
            self._run(what, "a lambda")
        elif isinstance(what, ast.Name) and what.id in self._names.functions:
            self._run(self._names.functions[what.id], what.id)
        elif isinstance(what, ast.Attribute) and not self._full(what):
            for method in self._names.methods.get(what.attr, ()):
                self._run(method, what.attr)

    def _run(self, function: _Function, name: str) -> None:
        if function in self._names.called:
            return
        self._names.called.add(function)
        self._names.spend(len(self._names.full) + len(self._names.functions))
        reader = _Reader(self._names.inside(), called=True)
        for part in _body(function):
            reader.visit(part)
        bases = function.bases if isinstance(function, ast.ClassDef) else []
        for base in bases:
            reader.visit(ast.Call(base, [], []))
        if reader.why:
            self._say(f"{reader.why}, in {name}")

    def _variable(self, node: ast.expr) -> None:
        value = node.value if isinstance(node, ast.Constant) else None
        name = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        if isinstance(name, str) and name in ASPECTS:
            self._say(f"it reads {name}")

    def _full(self, node: ast.expr) -> str:
        """Return the full name of what the expression stands for; "" where that is not known."""
        if isinstance(node, ast.Name):
            return self._names.full.get(node.id, "")
        above = self._full(node.value) if isinstance(node, ast.Attribute) else ""
        return f"{above}.{node.attr}" if isinstance(node, ast.Attribute) and above else ""

    def _say(self, why: str) -> None:
        self.why = self.why or why


def _body(function: _Function) -> Iterator[ast.AST]:
    """Yield what runs when it is called; of a class, that is what makes an object."""
    if isinstance(function, ast.Lambda):
        yield function.body
    elif isinstance(function, ast.ClassDef):
        makers = ("__init__", "__new__", "__post_init__")
        for part in function.body:
            if isinstance(part, ast.FunctionDef) and part.name in makers:
                yield from part.body
    else:
        yield from function.body


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""

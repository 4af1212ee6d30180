"""What a piece of Python source says without running it: its imports, its strings, the hosts it names."""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["Source", "is_outside", "outside_hosts", "parse_python", "read_other", "read_python"]

_URL = re.compile(r"\b(?:https?|wss?|ftps?)://[^\s\"'<>`\\^{}|]{1,2000}", re.IGNORECASE)
_HOST = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}", re.IGNORECASE)
#: They name a vocabulary; nobody fetches them.
_NAMESPACES = ("www.w3.org", "ns.adobe.com", "schemas.openxmlformats.org", "schemas.microsoft.com", "json-schema.org")
_INSIDE = (".localhost", ".local", ".internal", ".invalid", ".test", ".example")

#: Cell magics after which the rest of the cell is Python still.
_PYTHON_MAGICS = {"time", "timeit", "capture", "prun", "python", "python3", "pypy", "debug", "memit", "mprun"}
_MAGIC_LINE = re.compile(r"(?P<indent>\s*+)(?:[%!?].*|[\w.]++\?{1,2}+\s*+)\Z")
_MAGIC_VALUE = re.compile(r"(?P<head>[\w.,\s\[\]\"']++=\s*+)[%!](?P<rest>.*)\Z")
_QUOTED = re.compile(r"\"([^\"\n]{1,1000})\"|'([^'\n]{1,1000})'")
_IMPORT_LINE = re.compile(
    r"^[ \t]*+(?:from[ \t]++([A-Za-z_]\w*+)[\w.]*+[ \t]++import\b|import[ \t]++([\w., ]+))", re.MULTILINE
)
#: What cannot be parsed and is longer is no program; its first part tells enough.
_MAX_ROUGH = 200_000

#: Calls whose string arguments may name a folder that is read as a whole.
_FOLDER_CALLS = {
    "Path", "PosixPath", "PurePath", "chdir", "glob", "iglob", "insert", "append", "join", "joinpath", "listdir",
    "rglob", "scandir", "walk",
}  # fmt: skip
_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
#: Python counts for all threads together how deep it is in a tree, and fails where two are at it at once
#: (https://github.com/python/cpython/issues/106905); which warnings are shown is of the whole process, too.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Source:
    """What was read.

    ``imports`` are top-level module names that must be there; ``optional`` those that the source can do
    without. In ``strings`` what an f-string fills in stands as "*". ``folders`` are the strings that are
    given to something that reads a folder or puts a path together.
    """

    imports: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    strings: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()


def read_python(text: str) -> Source:
    """Read Python source; lines for IPython are understood, and what cannot be parsed is read by its looks."""
    tree, body, shell_lines = parse_python(text)
    if tree is None:
        return _read_roughly(body, shell_lines)
    reader = _Reader()
    try:
        reader.visit(tree)
    except RecursionError:
        return _read_roughly(body, shell_lines)
    return Source(
        imports=frozenset(reader.imports),
        optional=frozenset(reader.optional - reader.imports),
        strings=(*reader.strings, *shell_lines),
        folders=frozenset(reader.folders),
    )


def parse_python(text: str) -> tuple[ast.Module | None, str, list[str]]:
    """Return the tree, None for what cannot be parsed; the source with lines for IPython made harmless; those lines."""
    tree = _parse(text)
    if tree is not None:
        return tree, text, []
    body, shell_lines = _without_magics(text)
    return _parse(body), body, shell_lines


def read_other(text: str) -> Source:
    """Read source of a language that is not Python: the quoted strings, for they look alike everywhere."""
    return Source(strings=tuple(a or b for a, b in _QUOTED.findall(text)))


def outside_hosts(text: str) -> Iterator[str]:
    """Yield the host of every address in ``text`` that lies outside, in order, with repetitions."""
    for match in _URL.finditer(text):
        try:
            host = (urlsplit(match.group().rstrip(".,;:!?)]")).hostname or "").rstrip(".")
        except ValueError:
            continue
        if is_outside(host):
            yield host


def is_outside(host: str) -> bool:
    """Tell whether ``host`` is the name or address of another machine, and something that one fetches from."""
    host = host.lower().strip("[]").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        known = host in _NAMESPACES or host.endswith(_INSIDE)
        return _HOST.fullmatch(host) is not None and not known
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def _parse(text: str) -> ast.Module | None:
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        # Somebody else's "\d" is not a warning of ours.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _without_magics(text: str) -> tuple[str, list[str]]:
    """Return the source with IPython's lines made harmless, line by line, and those lines."""
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    shell_lines: list[str] = []
    if lines[first].startswith("%%"):
        shell_lines.append(lines[first])
        words = lines[first][2:].split()
        if not words or words[0] not in _PYTHON_MAGICS:
            return "", lines
        lines[first] = ""
    for i, line in enumerate(lines):
        if match := _MAGIC_LINE.match(line):
            lines[i] = match["indent"] + "pass"
        elif match := _MAGIC_VALUE.match(line):
            lines[i] = match["head"] + "None"
        else:
            continue
        shell_lines.append(line)
    return "\n".join(lines), shell_lines


def _read_roughly(text: str, shell_lines: list[str]) -> Source:
    text = text[:_MAX_ROUGH]
    imports: set[str] = set()
    for origin, names in _IMPORT_LINE.findall(text):
        imports |= {origin} if origin else {name.split()[0].split(".")[0] for name in names.split(",") if name.strip()}
    code = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    return Source(optional=frozenset(imports), strings=(*read_other(code).strings, *shell_lines))


class _Reader(ast.NodeVisitor):
    """Walk over a tree and keep what :class:`Source` names."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.optional: set[str] = set()
        self.strings: list[str] = []
        self.folders: set[str] = set()
        self._guards = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add_import(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self._add_import(node.module)

    def visit_Try(self, node: ast.Try) -> None:
        self._visit_guarded(node, guarded=any(_catches_import_error(handler.type) for handler in node.handlers))

    def visit_If(self, node: ast.If) -> None:
        self._visit_guarded(node, guarded=_last_name(node.test) == "TYPE_CHECKING")

    def visit_With(self, node: ast.With) -> None:
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        self._visit_guarded(node, guarded=any(_last_name(call.func) == "suppress" for call in calls))

    def visit_Expr(self, node: ast.Expr) -> None:
        # A string that stands alone is prose.
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value:
            self.strings.append(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [part.value if isinstance(part, ast.Constant) else "*" for part in node.values]
        self.strings.append("".join(map(str, parts)))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = _last_name(node.func)
        literals = list(_literals(node.args))
        if name in _FOLDER_CALLS:
            self.folders.update(literals)
        elif name in {"import_module", "__import__"} and literals and not literals[0].startswith("."):
            self._add_import(literals[0])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div):
            self.folders.update(_literals([node.left, node.right]))
        self.generic_visit(node)

    def _visit_guarded(self, node: ast.AST, *, guarded: bool) -> None:
        self._guards += guarded
        self.generic_visit(node)
        self._guards -= guarded

    def _add_import(self, name: str) -> None:
        (self.optional if self._guards else self.imports).add(name.split(".")[0])


def _literals(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _last_name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _catches_import_error(node: ast.expr | None) -> bool:
    types = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(kind is None or _last_name(kind) in _IMPORT_ERRORS for kind in types)

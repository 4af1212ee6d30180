"""Read a notebook (.ipynb): its cells, what it says about itself, what it needs, and what changed between two."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from vaas.differences import PATIENCE, Lines, Patience, cost, difference
from vaas.errors import Invalid
from vaas.files import FileIndex
from vaas.prose import clean_text, headings, images, outside_fences, paragraphs, shorten, without_data
from vaas.source import Source, outside_hosts, read_other, read_python

__all__ = ["Cell", "CellChange", "Notebook", "compare", "language_in", "parse", "suggest_files"]

#: More is not a notebook that somebody wrote.
MAX_BYTES = 64_000_000
MAX_CELLS = 5_000
#: Longer notebooks are compared from their two ends only: cells times cells.
MAX_COMPARED_CELLS = 400_000
#: Of more cells in a row it is not found out which of the old ones became which of the new ones.
MAX_PAIRED_CELLS = 300
#: So much of the text in Markdown cells is looked at, and so many of its headings and paragraphs.
_MAX_PROSE = 400_000
_MAX_PROSE_LINES = 50_000
_MAX_HEADINGS = 200
_MAX_PARAGRAPHS = 100

#: Licences and authors are often set in smaller headings, above the title.
_SMALLEST_TITLE = 4
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:")


@dataclass(frozen=True)
class Cell:
    """One cell: ``kind`` is "code", "markdown" or "raw"; ``index`` counts all cells from 1.

    ``outputs`` are the texts of the outputs that were saved with it.
    """

    index: int
    kind: str
    source: str
    tags: tuple[str, ...] = ()
    id: str = ""
    outputs: tuple[str, ...] = field(default=(), repr=False)

    @property
    def runs(self) -> bool:
        """Whether there is something to execute."""
        return self.kind == "code" and bool(self.source.strip())


@dataclass(frozen=True)
class Notebook:
    """A notebook that was read; what it needs is found by reading its source, never by running it."""

    name: str
    cells: tuple[Cell, ...]
    #: The name of its kernel, "" when it names none.
    kernel: str = ""
    language: str = "python"
    #: What its metadata asks of Voilà, "" for nothing.
    template: str = ""
    theme: str = ""

    @property
    def code(self) -> tuple[Cell, ...]:
        """The cells that there is something to execute in."""
        return tuple(cell for cell in self.cells if cell.runs)

    @property
    def is_empty(self) -> bool:
        """Whether no cell says anything."""
        return not any(cell.source.strip() for cell in self.cells)

    @property
    def has_parameters(self) -> bool:
        """Whether a cell is tagged as the one that holds the parameters."""
        return any("parameters" in cell.tags for cell in self.cells)

    @cached_property
    def title(self) -> str:
        """The first heading with words that is not small print, else the file's name."""
        every = islice((heading for _, text in self._prose for heading in headings(text)), _MAX_HEADINGS)
        # A logo is none, nor is what nobody sees.
        found = [(level, text) for level, text in every if clean_text(text)]
        large = (text for level, text in found if level <= _SMALLEST_TITLE)
        return next(large, "") or next((text for _, text in found), "") or PurePosixPath(self.name).stem or "Untitled"

    @cached_property
    def description(self) -> str:
        """The first paragraph of prose, in plain text, shortened; "" when there is none."""
        found = islice((paragraph for _, text in self._prose for paragraph in paragraphs(text)), _MAX_PARAGRAPHS)
        return next((shorten(text, 300) for text in found if text), "")

    @cached_property
    def sources(self) -> Mapping[int, Source]:
        """What each code cell says, by its index."""
        read = read_python if self.language == "python" else read_other
        return {cell.index: read(cell.source) for cell in self.code}

    @property
    def imports(self) -> frozenset[str]:
        """Top-level names of the modules that it cannot do without."""
        return frozenset().union(*(source.imports for source in self.sources.values()))

    @cached_property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Outside hosts that strings of its code name, each with the first cell that does."""
        found: dict[str, int] = {}
        for index, source in self.sources.items():
            for host in outside_hosts("\n".join(source.strings)):
                found.setdefault(host, index)
        return tuple(found.items())

    @cached_property
    def page_addresses(self) -> tuple[tuple[str, int], ...]:
        """Outside hosts that pictures in its text are loaded from, each with the first cell that does."""
        found: dict[str, int] = {}
        for index, text in self._prose:
            for host in outside_hosts("\n".join(images(text))):
                found.setdefault(host, index)
        return tuple(found.items())

    @cached_property
    def page_files(self) -> tuple[tuple[str, int], ...]:
        """Files beside the notebook that its text shows, each with the first cell that does."""
        found: dict[str, int] = {}
        for index, text in self._prose:
            for image in images("\n".join(outside_fences(text))):
                path = unquote(image.partition("#")[0].partition("?")[0])
                if "." in PurePosixPath(path).name and not path.startswith("/") and not _SCHEME.match(path):
                    found.setdefault(path, index)
        return tuple(found.items())

    @cached_property
    def _prose(self) -> tuple[tuple[int, str], ...]:
        """The texts of the Markdown cells by their indexes, up to what a person may have written."""
        found: list[tuple[int, str]] = []
        room, lines = _MAX_PROSE, _MAX_PROSE_LINES
        for cell in self.cells:
            if cell.kind == "markdown" and room > 0 and lines > 0:
                text = "\n".join(without_data(cell.source)[:room].split("\n", lines)[:lines])
                room, lines = room - len(text), lines - text.count("\n") - 1
                found.append((cell.index, text))
        return tuple(found)


@dataclass(frozen=True)
class CellChange:
    """A cell that differs: ``change`` is "added", "removed" or "changed"; ``old`` and ``new`` its indexes.

    ``lines`` are (sign, line), where the sign is "+", "-", " " for context, or "…" for lines left out.
    """

    change: str
    kind: str
    old: int | None
    new: int | None
    lines: Lines


def parse(data: bytes, *, name: str = "") -> Notebook:
    """Return the notebook that ``data`` holds; ``name`` is its file's name.

    Formats 4.x and 3 are read.

    Raises
    ------
    Invalid
        It is not JSON, not a notebook, too large, too deep, or of a format that is not read.
    """
    if len(data) > MAX_BYTES:
        raise Invalid(f"The notebook is larger than {MAX_BYTES // 1_000_000} MB. Clear its outputs and save it again.")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise Invalid("The notebook is nested too deep to be read.") from error
    except ValueError as error:
        raise Invalid("This is not a notebook: it is not JSON. Save it again from Jupyter.") from error
    if not isinstance(document, dict) or not isinstance(document.get("nbformat"), int):
        raise Invalid("This is not a notebook: it is JSON, but not what Jupyter writes.")
    metadata = _mapping(document.get("metadata"))
    kernel, voila = _mapping(metadata.get("kernelspec")), _mapping(metadata.get("voila"))
    cells = tuple(_cell(i, raw) for i, raw in enumerate(_raw_cells(document), start=1))
    return Notebook(
        name=name,
        cells=cells,
        kernel=_text(kernel.get("name")),
        language=language_in(metadata).lower() or "python",
        template=_text(voila.get("template")),
        theme=_text(voila.get("theme")),
    )


def language_in(metadata: Mapping[str, Any]) -> str:
    """Return the language that a notebook's metadata name, as they write it; "" for none."""
    kernel, info = _mapping(metadata.get("kernelspec")), _mapping(metadata.get("language_info"))
    return _text(kernel.get("language")) or _text(info.get("name"))


def suggest_files(
    notebook: Notebook, available: Iterable[str], *, sources: Mapping[str, str] | None = None
) -> set[str]:
    """Return the ``available`` files that should travel with the notebook.

    Those are the files that its source mentions and the local modules that it imports, and what these
    modules mention and import in turn, for those whose text ``sources`` holds. All names are relative
    to the notebook's folder.
    """
    index = FileIndex(name for name in available if name != notebook.name)
    found = index.mentioned(Source(strings=tuple(image for _, text in notebook._prose for image in images(text))))
    waiting = list(notebook.sources.values())[::-1]
    while waiting:
        new = index.mentioned(waiting.pop()) - found
        found |= new
        texts = (sources[name] for name in sorted(new) if sources and name.endswith(".py") and name in sources)
        waiting.extend(read_python(text) for text in texts)
    return found


def compare(old: Notebook, new: Notebook) -> list[CellChange]:
    """Return the cells that differ in kind or source, in the order of the notebooks; outputs do not count.

    Of very long or very repetitive notebooks the differences are shown more coarsely.
    """
    changes: list[CellChange] = []
    finding, showing = Patience(PATIENCE), Patience(PATIENCE)
    for i1, i2, j1, j2 in _differing(_keys(old.cells), _keys(new.cells)):
        pairs = _pair(old.cells[i1:i2], new.cells[j1:j2], finding)
        changes.extend(_change(before, after, showing) for before, after in pairs)
    return changes


def _raw_cells(document: Mapping[str, Any]) -> list[Any]:
    major = document["nbformat"]
    if major == 4:
        cells = document.get("cells")
    elif major == 3:
        cells = [cell for sheet in _list(document.get("worksheets")) for cell in _list(_mapping(sheet).get("cells"))]
    else:
        raise Invalid(f"The notebook is in format {major}, which is not read. Save it again from a current Jupyter.")
    if not isinstance(cells, list):
        raise Invalid("This is not a notebook: it holds no list of cells.")
    if len(cells) > MAX_CELLS:
        raise Invalid(f"The notebook has {len(cells)} cells; up to {MAX_CELLS} are read.")
    return cells


def _cell(index: int, raw: Any) -> Cell:
    if not isinstance(raw, dict) or not isinstance(raw.get("cell_type"), str):
        raise Invalid(f"Cell {index} of the notebook is damaged.")
    kind, source = raw["cell_type"], _text(raw.get("source", raw.get("input", "")))
    if kind == "heading":
        level = raw.get("level")
        kind, source = "markdown", "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1) + " " + source
    return Cell(
        index=index,
        kind=kind if kind in {"code", "markdown"} else "raw",
        source=source,
        tags=tuple(tag for tag in _list(_mapping(raw.get("metadata")).get("tags")) if isinstance(tag, str)),
        id=_text(raw.get("id")),
        outputs=tuple(text for output in _list(raw.get("outputs")) for text in _output_texts(_mapping(output))),
    )


def _output_texts(output: Mapping[str, Any]) -> Iterator[str]:
    # Format 3 has the bundle's texts in the output itself.
    bundle = _mapping(output.get("data"))
    parts = (output.get("text"), output.get("evalue"), output.get("traceback"), output.get("html"))
    texts = (bundle[mime] for mime in bundle if mime.startswith("text/"))
    yield from (text for text in map(_text, (*parts, *texts)) if text)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return a text that may be written as a list of its lines; "" for anything else."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _keys(cells: Iterable[Cell]) -> list[tuple[str, str]]:
    return [(cell.kind, cell.source.rstrip()) for cell in cells]


def _differing(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> Iterator[tuple[int, int, int, int]]:
    """Yield where the two differ: first and last of the old, first and last of the new."""
    start, shorter = 0, min(len(old), len(new))
    end = 0
    if len(old) * len(new) > MAX_COMPARED_CELLS:
        while start < shorter and old[start] == new[start]:
            start += 1
        while end < shorter - start and old[-1 - end] == new[-1 - end]:
            end += 1
    a, b = old[start : len(old) - end], new[start : len(new) - end]
    if len(a) * len(b) > MAX_COMPARED_CELLS:
        yield start, start + len(a), start, start + len(b)
        return
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        if tag != "equal":
            yield start + i1, start + i2, start + j1, start + j2


def _pair(old: Sequence[Cell], new: Sequence[Cell], patience: Patience) -> Iterator[tuple[Cell | None, Cell | None]]:
    """Yield which of the old cells became which of the new ones, in order; None where there is no counterpart."""
    alike = len(old) + len(new) <= MAX_PAIRED_CELLS
    rest = list(new)
    for before in old:
        place = next((i for i, after in enumerate(rest) if alike and _resemble(before, after, patience)), None)
        if place is None:
            yield before, None
            continue
        yield from ((None, after) for after in rest[:place])
        yield before, rest[place]
        del rest[: place + 1]
    yield from ((None, after) for after in rest)


def _resemble(before: Cell, after: Cell, patience: Patience) -> bool:
    if before.kind != after.kind:
        return False
    if before.id and before.id == after.id:
        return True
    old, new = before.source[:4_000].split(), after.source[:4_000].split()
    if not patience.takes(len(old) + len(new)):
        return False
    matcher = difflib.SequenceMatcher(a=old, b=new)
    perhaps = matcher.real_quick_ratio() >= 0.5 and matcher.quick_ratio() >= 0.5
    return perhaps and patience.takes(cost(old, new)) and matcher.ratio() >= 0.5


def _change(before: Cell | None, after: Cell | None, patience: Patience) -> CellChange:
    cell = after or before
    assert cell is not None
    return CellChange(
        change="added" if before is None else "removed" if after is None else "changed",
        kind=cell.kind,
        old=before.index if before else None,
        new=after.index if after else None,
        lines=tuple(difference(before.source if before else "", after.source if after else "", patience)),
    )

"""Render the notebook for one page with Voilà's machinery, in our template, without what a visitor may not see."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import os
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import voila
from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors.clearoutput import ClearOutputPreprocessor
from traitlets.config import Config
from voila.configuration import VoilaConfiguration
from voila.execute import strip_code_cell_warnings
from voila.notebook_renderer import NotebookRenderer
from voila.paths import collect_static_paths, collect_template_paths
from voila.utils import get_page_config, get_voila_labextensions_path

import vaas
from vaas.errors import Unavailable, VaasError
from vaas.notebook import parse
from vaas.questions import first_question
from vaas.runtime.endings import OUT_OF_MEMORY
from vaas.runtime.executor import Executor, Reporter
from vaas.runtime.kernels import Kernels
from vaas.runtime.libraries import Libraries
from vaas.runtime.logged import cut
from vaas.runtime.manifest import Manifest
from vaas.runtime.states import Taken, take

__all__ = ["Begun", "Renderer", "Rendering", "Renders"]

_TEMPLATE = "vaas"
_APPS = ["voila", "nbconvert"]
_TEMPLATES = Path(vaas.__file__).parent.parent / "templates" / "voila"
log = logging.getLogger(__name__)


class _Images:
    """Hand the version's pictures to the exporter, which puts those of Markdown cells into the page."""

    def __init__(self, folder: Path, listed: frozenset[Path]) -> None:
        self._folder = folder
        self._listed = listed

    def file_exists(self, path: str) -> bool:
        """Tell whether the address in a Markdown cell is a file of the version."""
        return self._find(path) in self._listed

    def get(self, path: str, *, format: str) -> dict[str, str]:
        """Return the file's content in Base64."""
        assert format == "base64"
        return {"content": b64encode(self._find(path).read_bytes()).decode()}

    def _find(self, path: str) -> Path:
        return Path(os.path.normpath(self._folder / unquote(path)))


@dataclass(frozen=True)
class Begun:
    """The kernel of a page: its id, its cells that have run already, and who runs the others."""

    kernel_id: str
    executor: Executor | None = None
    cells: Sequence[Any] = ()
    #: The state of its widgets, if all cells have run; else called with it when they have.
    state: Taken | None = None
    ready: Callable[[Taken | None], None] | None = None


class Renderer(NotebookRenderer):
    """Voilà's renderer, running the notebook with our executor, or not where it has run already."""

    #: Brings the kernel; called when the page has begun.
    begin: Callable[[Any], Awaitable[Begun]]
    begun: Begun
    #: Tells what the end of the page has to know.
    finish: Callable[[Begun], Awaitable[dict[str, object]]]

    async def _jinja_kernel_start(self, nb: Any, kernel_id: str, kernel_future: Any) -> str:
        self.begun = await self.begin(nb)
        self.kernel_started = True
        return self.begun.kernel_id

    async def _jinja_cell_generator(self, nb: Any, kernel_id: str) -> AsyncIterator[Any]:
        """Run a cell, yield it, and so on until one fails or takes too long; what else goes wrong ends the page."""
        executor, done = self.begun.executor, self.begun.cells
        cleared, _ = ClearOutputPreprocessor().preprocess(nb, {"metadata": {"path": self.cwd}})
        for index, cell in enumerate(cleared.cells):
            if index < len(done):
                # The exporter changes what it gets.
                yield deepcopy(done[index])
                continue
            assert executor is not None
            try:
                await executor.execute_cell(cell, None, index, store_history=False)
            except TimeoutError:
                yield cell
                break
            except CellExecutionError as error:
                log.warning("Cell %d of %d failed:\n%s", index + 1, len(cleared.cells), cut(str(error)))
                if executor.should_strip_error():
                    strip_code_cell_warnings(cell)
                    executor.strip_code_cell_errors(cell)
                    _say_memory(cell, error.ename)
                yield cell
                break
            yield cell
        nb.metadata["vaas"] = await self.finish(self.begun)

    async def _jinja_notebook_execute(self, nb: Any, kernel_id: str) -> None:
        """Do so for a template that wants all cells at once."""
        nb.cells = [cell async for cell in self._jinja_cell_generator(nb, kernel_id)]


def _say_memory(cell: Any, error: str) -> None:
    """Let the page say that memory ran out: of an error that is hidden, its name tells no secret."""
    for output in cell.outputs if error in OUT_OF_MEMORY else ():
        if output.output_type == "error":
            output["ename"] = "MemoryError"


class _VersionRenderer(Renderer):
    """Reads the notebook from the version's folder."""

    async def load_notebook(self, path: str) -> Any:
        notebook = await asyncio.to_thread(nbformat.read, path, as_version=4)
        return await self.fix_notebook(notebook)


class Renders(ABC):
    """Renders one notebook, wherever it lies.

    Parameters
    ----------
    notebook:
        Its file.
    kernels:
        Where it runs.
    config:
        Voilà's.
    output:
        How many bytes it may put out.
    """

    #: How long a kernel may take to start.
    start_seconds: float

    def __init__(self, notebook: Path, kernels: Kernels, *, config: Config, output: int) -> None:
        self._notebook, self._kernels, self._config, self._output = notebook, kernels, config, output
        self._show_tracebacks = False

    @abstractmethod
    async def open(self, title: str, *, page: Mapping[str, object]) -> Renderer:
        """Return a renderer with the notebook loaded and its kernel chosen; ``page`` is what our template needs."""

    @abstractmethod
    def learn(self, taken: Taken | None) -> None:
        """Take note of the state of a page's widgets, for the pages that come."""

    @abstractmethod
    def address_of(self, taken: Taken | None) -> str:
        """Return where a state is; "" if there is none."""

    def first_question(self) -> int | None:
        """Return the index of the first cell whose code asks for something of the visit; None: there is none."""
        with contextlib.suppress(VaasError):
            question = first_question(parse(self._notebook.read_bytes()))
            return None if question is None else question.cell - 1
        return None

    def executor(self, notebook: Any, kernel_id: str, *, reporter: Reporter) -> Executor:
        """Return who runs the notebook's cells in this kernel; it is not connected yet."""
        return Executor(
            notebook,
            manager=self._kernels.mapping.get_kernel(kernel_id),
            config=self._config,
            activity=self._kernels.mapping.activity(kernel_id),
            budget=self._output,
            reporter=reporter,
            show_tracebacks=self._show_tracebacks,
        )

    async def snippets(self, renderer: Renderer, *, begin: Callable[[Any], Awaitable[Begun]]) -> AsyncIterator[str]:
        """Yield the page as it grows; ``begin`` gets the notebook and brings the kernel, when the page has begun.

        Raises
        ------
        Trouble
            The page cannot be completed.
        """
        renderer.begin = begin
        try:
            async for snippet, _ in renderer.generate_content_generator(None, None):
                yield snippet
        finally:
            begun = getattr(renderer, "begun", None)
            if begun is not None and begun.executor is not None:
                begun.executor.disconnect()

    async def record(self, title: str, *, page: Mapping[str, object], begun: Begun) -> str:
        """Return the page of a notebook all of whose cells have run."""
        renderer = await self.open(title, page=page)

        async def begin(_: Any) -> Begun:
            return begun

        return "".join([snippet async for snippet in self.snippets(renderer, begin=begin)])


class Rendering(Renders):
    """Everything about pages that is the same for all visits of this server."""

    def __init__(self, *, manifest: Manifest, folder: Path, base_url: str, kernels: Kernels) -> None:
        self._base_url = base_url
        self.start_seconds = manifest.limits.start_seconds
        listed = frozenset(folder / "content" / file.path for file in manifest.files)
        #: The libraries that the pages of this version had widgets of until now.
        self.used: list[str] = []
        notebook = folder / "content" / manifest.notebook
        self._images = _Images(notebook.parent, listed)
        _announce(folder / "jupyter", extensions=kernels.python.extensions)
        config = Config(
            {
                "VoilaExecutor": {"timeout": manifest.limits.cell_seconds, "cell_error_instruction": ""},
                "VoilaConfiguration": {
                    "template": _TEMPLATE,
                    "allow_template_override": "NO",
                    "allow_theme_override": "NO",
                    "show_tracebacks": False,
                    "strip_sources": True,
                },
            }
        )
        super().__init__(notebook, kernels, config=config, output=manifest.limits.output)
        self._voila = VoilaConfiguration(config=config)
        self._template_paths = collect_template_paths(_APPS, _TEMPLATE, prune=True)
        self.static_paths = [path for path in collect_static_paths(_APPS, _TEMPLATE) if os.path.isdir(path)]
        self.labextension_paths = [path for path in get_voila_labextensions_path() if os.path.isdir(path)]
        self.labextension_paths.append(str(_TEMPLATES / _TEMPLATE / "labextensions"))
        self.stamp = _stamp(self.static_paths)
        self._page_config = self._make_page_config()
        self.libraries = self._take_libraries()

    async def open(self, title: str, *, page: Mapping[str, object]) -> Renderer:
        """Return a renderer with the notebook loaded and its kernel chosen; ``page`` is what our template needs."""
        renderer = _VersionRenderer(
            voila_configuration=self._voila,
            traitlet_config=self._config,
            notebook_path=str(self._notebook),
            template_paths=self._template_paths,
            contents_manager=self._images,
            base_url=self._base_url,
            kernel_spec_manager=self._kernels.specs,
            page_config=self._page_config,
        )
        self._require_kernel()
        await renderer.initialize()
        renderer.notebook.metadata["title"] = title
        libraries = self.libraries.facts(base_url=self._base_url)
        renderer.resources["vaas"] = {**page, "libraries": libraries}
        renderer.resources["vaas_used"] = self.used
        renderer.finish = self._finish
        return renderer

    def _require_kernel(self) -> None:
        notebook = parse(self._notebook.read_bytes())
        if self._kernels.specs.name_for(notebook.kernel, language=notebook.language) is None:
            kernel = notebook.kernel or notebook.language
            raise Unavailable(f"This app needs the kernel “{kernel}”, which is not installed here. Tell its owner.")

    async def _finish(self, begun: Begun) -> dict[str, object]:
        taken = begun.state
        if begun.executor is not None:
            taken = await take(begun.kernel_id, client=begun.executor.kc, counts=self._kernels.mapping)
            self.learn(taken)
            if begun.ready is not None:
                begun.ready(taken)
        return {"kernel": begun.kernel_id, "state": self.address_of(taken), "used": self.used}

    def learn(self, taken: Taken | None) -> None:
        """Take note of the libraries that the widgets of a page need, for the pages that come."""
        if taken is not None:
            self.used = self.libraries.used(taken.snapshot.modules)

    def address_of(self, taken: Taken | None) -> str:
        """Return where a state is; "" if there is none."""
        return f"{self._base_url}vaas/state/{taken.snapshot.digest}" if taken is not None else ""

    def _take_libraries(self) -> Libraries:
        """Take over from Voilà what it would load of extensions."""
        static = next(Path(path) for path in self.static_paths if (Path(path) / "voila.js").is_file())
        extensions = self._page_config["federated_extensions"]
        ours = _TEMPLATES / _TEMPLATE / "static"
        libraries = Libraries(extensions, roots=self.labextension_paths, static=static, ours=ours)
        self._page_config["federated_extensions"] = libraries.extensions()
        self._page_config["fullLabextensionsUrl"] = f"{self._base_url}voila/labextensions/v-{libraries.stamp}"
        return libraries

    def _make_page_config(self) -> dict[str, Any]:
        page_config: dict[str, Any] = get_page_config(
            base_url=self._base_url,
            # Without these two, Voilà names a CDN for MathJax instead of the one that it bundles.
            settings={"mathjax_config": None, "mathjax_url": None},
            log=log,
            voila_configuration=self._voila,
        )
        page_config["fullStaticUrl"] = f"{self._base_url}voila/static/v-{self.stamp}"
        return page_config


def _announce(folder: Path, *, extensions: Path | None) -> None:
    """Make our template visible to Voilà, which looks in Jupyter's data folders only, and the widgets' scripts.

    Of the notebook's environment these scripts alone: a template of it would run here.
    """
    templates = folder / "voila" / "templates"
    templates.mkdir(mode=0o700, parents=True)
    (templates / _TEMPLATE).symlink_to(_TEMPLATES / _TEMPLATE)
    if extensions is not None:
        (folder / "labextensions").symlink_to(extensions)
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH", "")]))


def _stamp(paths: list[str]) -> str:
    """Return what changes when the static files do, so that browsers may keep them for ever."""
    digest = sha256(voila.__version__.encode())
    for path in paths:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            status = entry.stat()
            digest.update(f"{entry.name}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:12]


# Voilà guesses types of pictures by this table, which lacks newer ones on some systems.
for suffix, kind in {".webp": "image/webp", ".avif": "image/avif"}.items():
    mimetypes.add_type(kind, suffix)

"""Pages of plain Voilà: what notebooks are told of a visit, and Voilà's own rendering of one that has run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import voila
from voila.notebook_renderer import NotebookRenderer
from voila.utils import get_page_config

from vaas.facts import Facts
from vaas.runtime.endings import Trouble
from vaas.runtime.environment import TO_BE_FORKED
from vaas.runtime.kernels import Kernels
from vaas.runtime.rendering import Begun, Renderer, Renders
from vaas.runtime.sandbox import Bounds
from vaas.runtime.states import Taken
from vaas.runtime.stock import Claim

__all__ = ["PlainKernels", "PlainRendering", "Unbounded", "beating", "facts_of"]

#: What keeps proxies and browsers from giving up; Voilà's pages have the function.
_HEARTBEAT = "<script>window.voila_heartbeat()</script>\n"
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Voilà does not count what a notebook puts out.
_ANY_OUTPUT = 1 << 62


class Unbounded(Bounds):
    """No limits at all, as kernels of plain Voilà have none."""

    @property
    def limits(self) -> dict[str, int]:
        """None."""
        return {}


class PlainKernels(Kernels):
    """Kernels with the environment of the server, as Voilà starts them; in a sandbox with what may be known there."""

    # Jupyter's own handlers connect to all of them.
    channels = ("shell", "control", "stdin", "iopub")

    def _environment(self, home: Path, *, request: Mapping[str, str], ahead: bool) -> dict[str, str]:
        if self._confinement.sandbox is not None:
            return super()._environment(home, request=request, ahead=ahead)
        # Temporary files alone lie apart: what a template leaves there, visits must not share.
        return {**(TO_BE_FORKED if ahead else {}), **self._environ, **request, "TMPDIR": str(home / "tmp")}


class _PlainRenderer(Renderer):
    """Reads the notebook as Voilà does; what ends a kernel is said in the cell at which it happened."""

    load_notebook = NotebookRenderer.load_notebook

    async def _jinja_cell_generator(self, nb: Any, kernel_id: str) -> AsyncIterator[Any]:
        try:
            async for cell in super()._jinja_cell_generator(nb, kernel_id):
                yield cell
        except Trouble as trouble:
            self.log.warning("%s: %s", self.notebook_path, trouble.text)
            said = nbformat.v4.new_output("stream", name="stderr", text="The page could not be completed.")
            yield nbformat.v4.new_code_cell(outputs=[said])


class _Heard:
    """Takes what an executor tells of one visit; what matters is for the log."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def begins(self, cell: int, cells: int) -> None:
        pass

    def moves(self) -> None:
        pass

    def slow(self, text: str) -> None:
        self._log.warning(text)

    def over(self, trouble: Trouble) -> None:
        self._log.warning(trouble.text)


class PlainRendering(Renders):
    """Renders a notebook with the template, theme and hooks that Voilà was started with.

    Parameters
    ----------
    server:
        Voilà's application.
    path:
        The notebook's path below its root.
    """

    def __init__(self, server: Any, path: str, kernels: Kernels) -> None:
        super().__init__(Path(server.root_dir, path), kernels, config=server.config, output=_ANY_OUTPUT)
        self._server, self._path = server, path
        self._show_tracebacks = server.voila_configuration.show_tracebacks
        self.start_seconds = float(server.config.get("VoilaExecutor", {}).get("startup_timeout", 60))

    async def open(self, title: str, *, page: Mapping[str, object]) -> Renderer:
        """Return Voilà's renderer; Voilà's templates need nothing from us."""
        renderer: Renderer = self._make(_PlainRenderer)
        await renderer.initialize()
        renderer.finish = _nothing_more
        return renderer

    def learn(self, taken: Taken | None) -> None:
        """Nothing: Voilà's pages ask their kernels."""

    def address_of(self, taken: Taken | None) -> str:
        """Return that there is none."""
        return ""

    async def rest(self, claim: Claim) -> AsyncIterator[str]:
        """Yield the page of a kernel that has run some of the notebook, and run the others of its cells."""
        renderer = await self.open("", page={})

        async def begin(notebook: Any) -> Begun:
            executor = self.executor(notebook, claim.kernel_id, reporter=_Heard(self._server.log))
            await executor.connect(seconds=self.start_seconds)
            executor.adopt(claim.ran.captures)
            return Begun(claim.kernel_id, executor, claim.ran.cells)

        async for snippet in self.snippets(renderer, begin=begin):
            yield snippet

    async def all(self, start: Callable[[str], Any]) -> tuple[str, AsyncIterator[str]]:
        """Return a new kernel and the page of a notebook that runs in it, all as Voilà does it.

        ``start`` starts the kernel with the name that it is given, and returns its id.
        """
        renderer = self._make(NotebookRenderer)
        await renderer.initialize()
        kernel_id = await start(renderer.notebook.metadata.kernelspec.name)
        kernel = self._kernels.mapping.get_kernel(kernel_id)

        async def snippets() -> AsyncIterator[str]:
            async for snippet, _ in renderer.generate_content_generator(kernel_id, kernel):
                yield snippet

        return kernel_id, snippets()

    def _make(self, renderer_class: Any) -> Any:
        server = self._server
        configuration, settings = server.voila_configuration, server.app.settings
        facts = {
            "base_url": server.base_url,
            "settings": settings,
            "log": server.log,
            "voila_configuration": configuration,
        }
        page_config = get_page_config(**facts)
        if configuration.page_config_hook:
            page_config = configuration.page_config_hook(page_config, **facts, notebook_path=self._path)
        return renderer_class(
            voila_configuration=configuration,
            traitlet_config=server.config,
            notebook_path=self._path,
            template_paths=server.template_paths,
            config_manager=server.config_manager,
            contents_manager=server.contents_manager,
            base_url=server.base_url,
            kernel_spec_manager=server.kernel_spec_manager,
            page_config=page_config,
            mathjax_config=settings.get("mathjax_config"),
            mathjax_url=settings.get("mathjax_url"),
        )


async def _nothing_more(_: Begun) -> dict[str, object]:
    return {}


def facts_of(url: str, server: Any) -> Facts:
    """Return what a notebook may know of a visit of this address, with the variables that Voilà sets."""
    there = urlsplit(url)
    port = "" if there.port in (None, _DEFAULT_PORTS.get(there.scheme)) else str(there.port)
    request = {
        "SCRIPT_NAME": there.path,
        "PATH_INFO": "",
        "SERVER_SOFTWARE": f"voila/{voila.__version__}",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": there.hostname or "",
        "SERVER_PORT": port,
        "VOILA_PREHEAT": "False",
        "VOILA_BASE_URL": server.base_url,
        "VOILA_SERVER_URL": server.server_url or server.base_url,
        "VOILA_REQUEST_URL": url,
        "VOILA_APP_PORT": port,
    }
    return Facts(query=there.query, request=request)


async def beating(snippets: AsyncIterator[str], *, seconds: float) -> AsyncIterator[tuple[str, None]]:
    """Yield the pieces as Voilà's handler wants them, with a sign of life where one is long in coming."""
    step: asyncio.Future[str] | None = None
    try:
        while True:
            step = asyncio.ensure_future(anext(snippets))
            while not (await asyncio.wait({step}, timeout=seconds))[0]:
                yield _HEARTBEAT, None
            yield step.result(), None
    except StopAsyncIteration:
        return
    finally:
        if step is not None:
            step.cancel()
            with contextlib.suppress(BaseException):
                await step

"""Instant pages in plain Voilà, by one option and without a portal: a kernel manager that forks kernels.

``voila notebook.ipynb --VoilaConfiguration.multi_kernel_manager_class=vaas.runtime.plain.InstantKernels``
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_event_loop
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop
from traitlets import Enum, Float, Int
from voila.request_info_handler import RequestInfoSocketHandler

from vaas.facts import EMPTY, Facts
from vaas.runtime.confinement import Confinement
from vaas.runtime.kernels import StartedKernels
from vaas.runtime.manifest import Limits
from vaas.runtime.plain_pages import PlainKernels, PlainRendering, Unbounded, beating, facts_of
from vaas.runtime.sandbox import AUTO, OFF, REQUIRED, Bounds, View, find_isolation
from vaas.runtime.stock import Stock

__all__ = ["InstantKernels"]

_LOOK = 1.0
#: How long the end of the server may take.
_FAREWELL = 5.0
#: Voilà's pages show nothing that differs from visit to visit but the kernel.
_PAGE = {"title": ""}
_FACTORY = "voila.voila_kernel_manager"


class _Kept:
    """One notebook, as its file is now, and what is kept ready of it."""

    def __init__(self, owner: InstantKernels, path: str, *, stamp: tuple[int, int]) -> None:
        self.path, self.stamp, self.used = path, stamp, time.monotonic()
        self.kernels = owner.kernels_in(os.path.dirname(path))
        self.rendering = PlainRendering(owner.parent, path, self.kernels)
        self.stock = Stock(self.kernels, self.rendering, owner.limits, stop=self.rendering.first_question())
        #: Template and theme that its page has, as Voilà asks for them; empty until they are known.
        self.look: dict[str, Any] = {}
        self._log = owner.log
        self.work = asyncio.ensure_future(self._tend())

    @property
    def ready(self) -> bool:
        """Whether a visit can have a kernel of what is kept."""
        return bool(self.look) and (self.stock.mode == "instant" or self.stock.fits_whole(EMPTY))

    async def _tend(self) -> None:
        try:
            renderer = await self.rendering.open("", page={})
            name = renderer.notebook.metadata.kernelspec.name
            if not self.kernels.specs.is_ours(name):
                self._log.info("%s runs for each visit: the kernel %s is not of Voilà's own Python.", self.path, name)
                return
        except Exception as error:
            # The visit that wants it will hear the same from Voilà.
            self._log.warning("%s cannot be kept ready: %s", self.path, error)
            return
        self.look = {"template": renderer.template_name, "theme": renderer.theme}
        tending = asyncio.ensure_future(self.stock.tend())
        try:
            await self.stock.settled()
            await self.stock.record(_PAGE)
            self._log.info("%s", " ".join([f"{self.path} is {self.stock.mode}.", *self.stock.opens["why"]]))
            await tending
        finally:
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)

    async def retire(self) -> None:
        """Keep nothing ready any more; return when the last visit that was forked from it has gone."""
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)
        await self.stock.retire()


class InstantKernels(StartedKernels):
    """Voilà's kernels: a visit gets a fork of one that has run the notebook already, and the page with it.

    A notebook that cannot be forked has kernels that have run kept ready; whatever cannot be served from what is kept
    goes Voilà's own way.
    """

    sandbox = Enum(
        (OFF, AUTO, REQUIRED), OFF, config=True, help="Run kernels in a sandbox: never, where it works, or not without."
    )
    spares = Int(3, config=True, help="How many forks of each notebook are kept ahead of visits.")
    refresh = Int(3600, config=True, help="After how many seconds a notebook is run again for new visits; 0: never.")
    notebooks = Int(10, config=True, help="How many notebooks of a folder are kept ready; the longest unused one goes.")
    patience = Float(
        120.0,
        config=True,
        help="After how many seconds a kernel that does nothing, and that no page is connected to, ends; 0: never.",
    )
    heartbeat = Float(10.0, config=True, help="How often (seconds) a page that grows gives a sign of life.")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Voilà makes a subclass of its own, in which nothing is ready or its pool is: what is ours goes first."""
        super().__init_subclass__(**kwargs)
        if cls.__module__ == _FACTORY:
            for name in vars(InstantKernels):
                if name in vars(cls) and (name == "__init__" or not name.startswith("__")):
                    delattr(cls, name)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # The server ends in the loop that this finds, and serves in the one that is set: what works in one cannot be
        # ended in another.
        asyncio.set_event_loop(ensure_event_loop())
        self.root_dir = self.parent.root_dir
        self._plain_factory = self.kernel_manager_factory
        self._kept: dict[str, _Kept] = {}
        self._folders: dict[Path, PlainKernels] = {}
        #: Kernels that were handed to visits, and whose they are.
        self._visits: dict[str, PlainKernels] = {}
        #: Since when no page has been connected to a visit's kernel that does nothing.
        self._left: dict[str, float] = {}
        self._retiring: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Future[None] | None = None
        self._temporary = tempfile.TemporaryDirectory(prefix="voila_instant_", ignore_cleanup_errors=True)
        self._confinement = self._confine()
        configuration = self.parent.voila_configuration
        self.limits = Limits(
            spares=self.spares, warm=max(1, configuration.default_pool_size), template_age=self.refresh
        )
        self._unfit = [
            name
            for name in ("prelaunch_hook", "progressive_rendering", "http_header_envs")
            if getattr(configuration, name)
        ]
        if self._unfit:
            self.log.warning("Notebooks run for each visit, because of VoilaConfiguration.%s.", self._unfit[0])
        else:
            IOLoop.current().add_callback(self._begin)

    def _confine(self) -> Confinement:
        sandbox, isolation = find_isolation({**os.environ, "VAAS_SANDBOX": self.sandbox})
        if sandbox is None:
            if self.sandbox != OFF:
                self.log.warning("Kernels run without a sandbox: %s", isolation.why)
            return Confinement(bounds=Unbounded())
        return Confinement(sandbox, isolation, Bounds(), View(read=(Path(self.root_dir),)))

    async def _begin(self) -> None:
        if self.parent.notebook_path is not None:
            self._find(os.path.relpath(self.parent.notebook_path, self.root_dir))
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        """Notice files that changed, and kernels of visits that died or were left."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                for path in list(self._kept):
                    self._find(path)
                for kernel_id, kernels in list(self._visits.items()):
                    if not kernels.lives(kernel_id):
                        await self._bury(kernel_id)
                await self._end_left()
            except Exception:
                self.log.exception("Looking after notebooks that are kept ready")

    async def _bury(self, kernel_id: str) -> None:
        """Tell the page that its kernel died, as Jupyter would."""
        self.log.warning("Kernel %s died.", kernel_id)
        for connection in list(ZMQChannelsWebsocketConnection._open_sockets):
            if connection.kernel_id == kernel_id:
                connection.on_restart_failed()
        await self.shutdown_kernel(kernel_id, now=True)

    async def _end_left(self) -> None:
        """End the kernels of visits whose page has gone; one that has just been made has not connected yet."""
        if self.patience <= 0:
            return
        now = time.monotonic()
        idle = [each for each in self.list_kernel_ids() if self._is_visit(each) and not self._in_use(each)]
        self._left = {each: self._left.get(each, now) for each in idle}
        for kernel_id, since in list(self._left.items()):
            if now - since > self.patience and not self._in_use(kernel_id):
                self.log.info("Kernel %s ends: no page is connected to it any more.", kernel_id)
                await self.shutdown_kernel(kernel_id)

    def _in_use(self, kernel_id: str) -> bool:
        """Tell whether a page is connected to the kernel, or it works; one that has not started yet is let alone."""
        if kernel_id not in self or kernel_id in self._pending_kernels:
            return True
        # A fork that nobody has connected to has never said that it is idle.
        busy = getattr(self.get_kernel(kernel_id), "execution_state", "") == "busy"
        return busy or self._kernel_connections.get(kernel_id, 0) > 0

    def _is_visit(self, kernel_id: str) -> bool:
        """Tell whether the kernel is a visit's; those that are kept ready are idle by design."""
        return kernel_id in self._visits or not any(each.owns(kernel_id) for each in self._folders.values())

    def kernels_in(self, folder: str) -> PlainKernels:
        """Return who starts and forks kernels in a folder below the root."""
        place = Path(self.root_dir, folder).resolve()
        if place not in self._folders:
            private = Path(self._temporary.name, str(len(self._folders)))
            private.mkdir()
            base = {"VOILA_BASE_URL": self.parent.base_url, "VOILA_SERVER_URL": self.parent.server_url}
            self._folders[place] = PlainKernels(
                folder=private,
                # An absolute path is itself, wherever it is looked for.
                notebook=str(place / "notebook.ipynb"),
                environ={**os.environ, **base, "VOILA_PREHEAT": "False"},
                confinement=self._confinement,
                mapping=self,
            )
        return self._folders[place]

    def _find(self, path: str) -> _Kept | None:
        """Return what is kept of a notebook as its file is now, perhaps only just begun; None: it is not to be kept."""
        former, stamp = self._kept.get(path), self._stamp(path)
        if former is not None and former.stamp == stamp:
            return former
        if former is not None:
            self._retire(path)
        if stamp is None or self._unfit:
            return None
        while len(self._kept) >= max(1, self.notebooks):
            self._retire(min(self._kept, key=lambda each: self._kept[each].used))
        self._kept[path] = _Kept(self, path, stamp=stamp)
        return self._kept[path]

    def _retire(self, path: str) -> None:
        work = asyncio.ensure_future(self._kept.pop(path).retire())
        self._retiring.add(work)
        work.add_done_callback(self._retiring.discard)

    def _stamp(self, path: str) -> tuple[int, int] | None:
        """Return what changes with the notebook's file; None for what is none, or not to be seen."""
        contents = self.parent.contents_manager
        if not path.endswith(".ipynb"):
            return None
        with contextlib.suppress(Exception):  # Jupyter raises HTTP errors for paths out of bounds
            if contents.file_exists(path) and (contents.allow_hidden or not contents.is_hidden(path)):
                status = Path(self.root_dir, path).stat()
                return status.st_mtime_ns, status.st_size
        return None

    @property
    def notebook_data(self) -> Mapping[str, Mapping[str, Any]]:
        """Path → template and theme, as Voilà's handler compares them with the visit's."""
        return {path: kept.look for path, kept in self._kept.items()}

    def get_pool_size(self, notebook_name: str) -> int:
        """Tell Voilà's handler whether :meth:`get_rendered_notebook` has something for it."""
        kept = self._find(notebook_name)
        if kept is None:
            return 0
        kept.used = time.monotonic()
        return int(kept.ready)

    async def get_rendered_notebook(
        self, notebook_name: str, extra_kernel_env_variables: Mapping[str, str] | None = None, **_: Any
    ) -> tuple[asyncio.Future[Any], list[str], str]:
        """Return a kernel for a visit and its page, in Voilà's form: what will be rendered, what is, the kernel."""
        kept = self._kept[notebook_name]
        facts = facts_of((extra_kernel_env_variables or {}).get("VOILA_REQUEST_URL", ""), self.parent)
        claim = await kept.stock.claim(facts, page=_PAGE)
        snippets, pages = _nothing(), []
        if claim is None:
            kernel_id, snippets = await self._run_for(kept, facts)
        else:
            kernel_id = claim.kernel_id
            self._visits[kernel_id] = kept.kernels
            if claim.page is None:
                snippets = kept.rendering.rest(claim)
            else:
                pages = [claim.page.filled(token="", kernel_id=kernel_id)]
        rendered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        rendered.set_result((pages, beating(snippets, seconds=self.heartbeat)))
        return rendered, pages, kernel_id

    async def _run_for(self, kept: _Kept, facts: Facts) -> tuple[str, AsyncIterator[str]]:
        """Run the notebook for this visit, Voilà's own way."""

        async def start(name: str) -> str:
            env = {**os.environ, **facts.environ}
            return await self.start_kernel(kernel_name=name, path=os.path.dirname(kept.path), env=env)

        return await kept.rendering.all(start)

    def pre_start_kernel(self, kernel_name: Any, kwargs: Any) -> Any:
        """Make the kernel's manager: Voilà's own, unless the start says which."""
        kwargs.setdefault("manager_class", self._plain_factory)
        kwargs.setdefault("traits", {})
        return super().pre_start_kernel(kernel_name, kwargs)

    async def start_kernel(self, **options: Any) -> str:
        """Start a kernel; who asks for a sandbox has none without it."""
        if "manager_class" in options or self._confinement.sandbox is None:
            return str(await super().start_kernel(**options))
        kernels = self.kernels_in(os.path.relpath(self.cwd_for_path(options.get("path") or ""), self.root_dir))
        env = options.get("env") or {}
        request = {name: value for name, value in env.items() if os.environ.get(name) != value}
        kernel_id = await kernels.start(options.get("kernel_name") or self.default_kernel_name, request=request)
        self._visits[kernel_id] = kernels
        return kernel_id

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:
        """End a kernel, and remove what it leaves."""
        kernels = self._visits.pop(kernel_id, None)
        await super().shutdown_kernel(kernel_id, now=now, restart=restart)
        RequestInfoSocketHandler._cache.pop(kernel_id, None)
        if kernels is not None:
            await kernels.clear(kernel_id)

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """Cull a visit's kernel, and none that is kept ready."""
        if self._is_visit(kernel_id):
            await super().cull_kernel_if_idle(kernel_id)

    async def shutdown_all(self, now: bool = False) -> None:
        """End all kernels: the server ends."""
        tasks = [*self._retiring, *(kept.work for kept in self._kept.values())]
        tasks += [self._looking] if self._looking is not None else []
        for task in tasks:
            task.cancel()
        tasks += [asyncio.ensure_future(kept.stock.close()) for kept in self._kept.values()]
        if tasks and (await asyncio.wait(tasks, timeout=_FAREWELL))[1]:
            self.log.warning("What keeps notebooks ready did not end in time.")
        self._kept.clear()
        if self._pending_kernels:
            await asyncio.wait(list(self._pending_kernels.values()), timeout=_FAREWELL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(*(kernels.stop_all() for kernels in self._folders.values()))
        left = [self.shutdown_kernel(kernel_id, now=now) for kernel_id in self.list_kernel_ids()]
        await asyncio.wait({asyncio.gather(*left, return_exceptions=True)}, timeout=_FAREWELL)
        self._temporary.cleanup()


async def _nothing() -> AsyncIterator[str]:
    return
    yield

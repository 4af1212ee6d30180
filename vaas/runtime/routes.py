"""The routes of the app server. What is not here does not exist; each entry says who may come."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from tornado.routing import Rule
from tornado.web import url

from vaas.runtime.assets import Asset, Scripts, VersionFile
from vaas.runtime.handlers import (
    Access,
    Channels,
    Enter,
    Farewell,
    Given,
    Guarded,
    Kernel,
    Poke,
    State,
    Up,
)
from vaas.runtime.pages import NotebookPage
from vaas.runtime.waiting import Queue

if TYPE_CHECKING:
    from vaas.runtime.server import AppServer

__all__ = ["Route", "route_table", "rules"]

_KERNEL = r"(?P<kernel_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_STAMPED = r"(?:(?P<stamp>v-[0-9a-f]{12})/)?(?P<path>.+)"


@dataclass(frozen=True)
class Route:
    """A path below the server's own, what answers it, and who may come: "open", "visit" or "ticket"."""

    path: str
    handler: type[Guarded]
    access: Access
    options: Mapping[str, Any] = field(default_factory=dict)


def route_table(*, static: list[str], labextensions: list[str]) -> tuple[Route, ...]:
    """Return all routes."""
    return (
        Route(r"", NotebookPage, "visit"),
        Route(r"api", Up, "open"),
        Route(r"visit", Enter, "ticket"),
        Route(rf"api/kernels/{_KERNEL}", Kernel, "visit"),
        Route(rf"api/kernels/{_KERNEL}/channels", Channels, "visit"),
        Route(r"vaas/farewell", Farewell, "visit"),
        Route(r"vaas/given", Given, "visit"),
        Route(r"vaas/state/(?P<digest>[0-9a-f]{64})", State, "visit"),
        Route(r"vaas/poke", Poke, "ticket"),
        Route(r"vaas/queue", Queue, "visit"),
        Route(r"voila/files/(?P<path>.+)", VersionFile, "visit"),
        # Libraries that anybody can download elsewhere; open, so that they can be fetched before the visit begins.
        Route(rf"voila/static/{_STAMPED}", Asset, "open", {"roots": static}),
        Route(r"voila/templates/vaas/static/(?P<path>.+)", Asset, "open", {"roots": static}),
        Route(rf"voila/labextensions/{_STAMPED}", Asset, "open", {"roots": labextensions}),
        Route(r"voila/bundles/v-(?P<stamp>[0-9a-f]{12})/(?P<name>.+)\.js", Scripts, "open"),
    )


def rules(routes: Sequence[Route], *, base_url: str, server: AppServer) -> list[Rule]:
    """Return the routes as tornado wants them.

    Raises
    ------
    ValueError
        A route does not say who may come, or its handler would not hold it.
    """
    made: list[Rule] = []
    for route in routes:
        if route.access not in get_args(Access):
            raise ValueError(f"The route {route.path!r} does not say who may come: {route.access!r}.")
        if not issubclass(route.handler, Guarded):
            raise ValueError(f"The handler of {route.path!r} does not hold the route's access marker.")
        options = {**route.options, "server": server, "access": route.access}
        made.append(url(re.escape(base_url) + route.path + "$", route.handler, options))
    return made

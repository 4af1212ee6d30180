"""Every route of the portal with its access marker; one without a marker cannot be written down.

Markers: "anyone" (the policy decides for each app), "signed-in" (people only), "server" (app servers only), "launch"
(people's launches only, each for itself).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tornado.web import RequestHandler

from hub_service.handlers import (
    api,
    apps,
    drafts,
    drafts_api,
    facilities,
    files,
    health,
    incidents,
    keeping,
    kept,
    launched,
    launching,
    opening,
    run_pages,
    runs,
    runs_api,
    runtime,
    search,
    session,
    sharing,
)
from hub_service.handlers.base import Base

__all__ = ["API", "LAUNCHED", "MARKERS", "PAGES", "RUNTIME", "Route", "REST", "elsewhere", "rules", "slashes"]

#: marker → the handlers that hold it.
_HOLDERS: dict[str, tuple[type[RequestHandler], ...]] = {
    "anyone": (Base, session.StaticFile),
    "signed-in": (Base,),
    "server": (runtime.FromServer,),
    "launch": (launched.FromLaunch,),
}
MARKERS = frozenset(_HOLDERS)
_KINDS = {
    "account": r"app-[a-z0-9]{12}",
    "status": r"[45][0-9]{2}",
    "slug": r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?",
    "draft": r"[0-9a-f]{8}",
    "store": r"[A-Za-z0-9_-]{1,60}",
    "link": r"[a-z0-9]{12}",
    "basket": r"current|[a-z0-9]{12}",
    "thing": r"[0-9a-f]{16}",
    "search": r"[a-z0-9]{12}",
    "request": r"[a-z0-9]{12}",
    "launch": r"[a-z0-9]{12}",
    "run": r"[a-z0-9]{12}",
    "series": r"[a-z0-9]{12}",
    "schedule": r"[a-z0-9]{12}",
    "token": r"[A-Za-z0-9_-]{32}",
    "subject": r"[^/]+",
    "catalog": r"[A-Za-z0-9._-]{1,60}",
    "record": r".+",
    "path": r".*",
    "file": r".*",
    "rest": r"(?:/.*)?",
}


@dataclass(frozen=True)
class Route:
    """An address under the portal's path, with ``{parameters}``; its marker; its handler."""

    path: str
    access: str
    handler: type[RequestHandler]

    def __post_init__(self) -> None:
        if self.access not in MARKERS:
            raise ValueError(f"{self.path}: “{self.access}” is no access marker, use one of {sorted(MARKERS)}")
        if not issubclass(self.handler, _HOLDERS[self.access]):
            raise ValueError(f"{self.path}: {self.handler.__name__} does not hold the marker “{self.access}”.")

    @property
    def pattern(self) -> str:
        """The regular expression that tornado matches, without the portal's path."""
        parts = re.split(r"(\{\w+\})", self.path)
        return "".join(f"({_KINDS[p[1:-1]]})" if p.startswith("{") else re.escape(p) for p in parts)

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that the handler answers, in small letters."""
        names = ("get", "post", "put", "patch", "delete")  # HEAD is answered where GET is, or not at all
        return tuple(n for n in names if getattr(self.handler, n) is not getattr(RequestHandler, n))


PAGES = (
    Route("", "anyone", apps.GalleryPage),
    Route("apps/{slug}/", "anyone", apps.AppPage),
    Route("apps/{slug}/cover", "anyone", apps.Cover),
    Route("apps/{slug}/open", "anyone", opening.OpenPage),
    Route("apps/{slug}/events", "anyone", opening.OpenEvents),
    Route("apps/{slug}/hand", "signed-in", opening.HandPage),
    Route("apps/{slug}/launch", "signed-in", launching.AppLaunchPage),
    Route("apps/{slug}/source.zip", "anyone", apps.SourceZip),
    Route("apps/{slug}/share", "signed-in", sharing.SharePage),
    Route("apps/{slug}/versions", "signed-in", sharing.VersionsPage),
    Route("apps/{slug}/compare", "signed-in", sharing.ComparePage),
    Route("apps/{slug}/log", "signed-in", apps.LogText),
    Route("apps/{slug}/settings", "signed-in", apps.SettingsPage),
    Route("apps/{slug}/ask", "signed-in", kept.AskPage),
    Route("basket/{basket}", "signed-in", kept.BasketPage),
    Route("basket/{basket}/apps", "signed-in", kept.BasketAppsPage),
    Route("requests", "signed-in", kept.RequestsPage),
    Route("launch", "signed-in", launching.LaunchPage),
    Route("launches/{launch}/", "signed-in", launching.LaunchingPage),
    Route("launches/{launch}/events", "signed-in", launching.LaunchEvents),
    Route("servers", "signed-in", launching.ServersPage),
    Route("files/", "signed-in", files.FilesPage),
    Route("files/{store}/{path}", "signed-in", files.FilesPage),
    Route("upload", "signed-in", files.UploadPage),
    Route("stores/", "signed-in", files.StoresPage),
    Route("drafts/", "signed-in", drafts.DraftsPage),
    Route("drafts/{draft}/", "signed-in", drafts.DraftPage),
    Route("drafts/{draft}/events", "signed-in", drafts.DraftEvents),
    Route("drafts/{draft}/publish", "signed-in", drafts.PublishPage),
    Route("drafts/{draft}/check", "signed-in", drafts.DraftAgain),
    Route("drafts/{draft}/discard", "signed-in", drafts.DraftDiscard),
    Route("runs/", "signed-in", runs.RunsPage),
    Route("runs/new", "signed-in", runs.NewRunPage),
    Route("runs/series/{series}", "signed-in", runs.SeriesPage),
    Route("runs/{run}/", "signed-in", run_pages.RunPage),
    Route("runs/{run}/events", "signed-in", run_pages.RunEvents),
    Route("runs/{run}/log", "signed-in", run_pages.RunLog),
    Route("runs/{run}/result", "signed-in", run_pages.RunResult),
    Route("runs/{run}/notebook", "signed-in", run_pages.RunNotebook),
    Route("schedules/{schedule}", "signed-in", runs.SchedulePage),
    Route("wake/{account}", "anyone", apps.Wake),
    Route("proxy-errors/{status}", "anyone", apps.ProxyError),
    Route("l/{token}", "anyone", session.EnterLink),
    Route("login", "anyone", session.Login),
    Route("logout", "anyone", session.Logout),
    Route("favicon.ico", "anyone", session.Favicon),
    Route("health", "anyone", health.HealthPage),
    Route("facilities", "anyone", facilities.FacilitiesPage),
)
API = (
    Route("api/openapi.json", "anyone", api.OpenApiJson),
    Route("api/health", "anyone", health.HealthJson),
    Route("api/me", "anyone", api.MeJson),
    Route("api/apps", "anyone", api.AppsJson),
    Route("api/apps/{slug}", "anyone", api.AppJson),
    Route("api/apps/{slug}/opening", "anyone", api.OpeningJson),
    Route("api/apps/{slug}/versions", "signed-in", api.VersionsJson),
    Route("api/apps/{slug}/versions/current", "signed-in", api.VersionCurrentJson),
    Route("api/apps/{slug}/grants", "signed-in", api.GrantsJson),
    Route("api/apps/{slug}/grants/{subject}", "signed-in", api.GrantJson),
    Route("api/apps/{slug}/incidents", "signed-in", incidents.IncidentsJson),
    Route("api/apps/{slug}/links", "signed-in", api.LinksJson),
    Route("api/apps/{slug}/links/{link}", "signed-in", api.LinkJson),
    Route("api/drafts", "signed-in", drafts_api.DraftsJson),
    Route("api/uploads", "signed-in", drafts_api.UploadJson),
    Route("api/drafts/{draft}", "signed-in", drafts_api.DraftJson),
    Route("api/drafts/{draft}/check", "signed-in", drafts_api.DraftCheckJson),
    Route("api/drafts/{draft}/publish", "signed-in", drafts_api.PublishJson),
    Route("api/stores", "signed-in", api.StoresJson),
    Route("api/stores/{store}", "signed-in", api.StoreJson),
    Route("api/stores/{store}/files/{path}", "signed-in", api.FilesJson),
    Route("api/people", "signed-in", api.PeopleJson),
    Route("api/facilities", "anyone", facilities.FacilitiesJson),
    Route("api/facilities/schema.json", "anyone", facilities.FacilitiesSchemaJson),
    Route("api/search", "anyone", search.SearchJson),
    Route("api/search/suggest", "anyone", search.SuggestJson),
    Route("api/records/{catalog}/{record}", "anyone", search.RecordJson),
    Route("api/previews/{catalog}/{record}", "anyone", search.PreviewJson),
    Route("api/ask", "signed-in", search.AskJson),
    Route("api/baskets", "signed-in", keeping.BasketsJson),
    Route("api/baskets/{basket}", "signed-in", keeping.BasketJson),
    Route("api/baskets/{basket}/things", "signed-in", keeping.BasketThingsJson),
    Route("api/baskets/{basket}/things/{thing}", "signed-in", keeping.BasketThingJson),
    Route("api/saved", "signed-in", keeping.SavedJson),
    Route("api/saved/{search}", "signed-in", keeping.SavedSearchJson),
    Route("api/saved/{search}/seen", "signed-in", keeping.SeenJson),
    Route("api/requests", "signed-in", keeping.RequestsJson),
    Route("api/requests/{request}", "signed-in", keeping.RequestJson),
    Route("api/launches", "signed-in", launching.LaunchesJson),
    Route("api/launches/{launch}", "signed-in", launching.LaunchJson),
    Route("api/launches/{launch}/stop", "signed-in", launching.LaunchStopJson),
    Route("api/launches/{launch}/start", "signed-in", launching.LaunchStartJson),
    Route("api/runs", "signed-in", runs_api.RunsJson),
    Route("api/runs/form", "signed-in", runs_api.RunFormJson),
    Route("api/runs/series", "signed-in", runs_api.RunSeriesJson),
    Route("api/runs/{run}", "signed-in", runs_api.RunJson),
    Route("api/runs/{run}/cancel", "signed-in", runs_api.RunCancelJson),
    Route("api/runs/{run}/log", "signed-in", runs_api.RunLogJson),
    Route("api/runs/{run}/repeat", "signed-in", runs_api.RunRepeatJson),
    Route("api/schedules", "signed-in", runs_api.SchedulesJson),
    Route("api/schedules/{schedule}", "signed-in", runs_api.ScheduleJson),
)
RUNTIME = (
    Route("api/runtime/manifest", "server", runtime.ManifestJson),
    Route("api/runtime/content", "server", runtime.ContentTar),
    Route("api/runtime/heartbeat", "server", runtime.HeartbeatPosted),
    Route("api/runtime/check", "server", runtime.CheckPosted),
    Route("api/runtime/outline", "server", runtime.OutlinePosted),
    Route("api/runtime/picture", "server", runtime.PictureHtml),
    Route("api/runtime/ask", "server", runtime.AskPosted),
    Route("api/runtime/given", "server", runtime.GivenPosted),
)
LAUNCHED = (
    Route("api/launched/manifest", "launch", launched.ManifestJson),
    Route("api/launched/content", "launch", launched.ContentTar),
    Route("api/launched/things/{thing}", "launch", launched.ThingBytes),
    Route("api/launched/things/{thing}/parcel", "launch", launched.ThingParcel),
    Route("api/launched/progress", "launch", launched.ProgressPosted),
)

#: What is left of a path: the Hub's way back, files, and the answers to addresses that are none of ours.
REST = (
    Route("oauth_callback", "anyone", session.SignedIn),
    Route("static/{file}", "anyone", session.StaticFile),
    Route("api{rest}", "anyone", api.NoSuchApi),
)


def elsewhere() -> list[Any]:
    """Return tornado's rules for hosts that are not the portal's: the addresses of apps whose server sleeps."""
    nothing = Route("", "anyone", apps.NotThere)
    return [(r".*", nothing.handler, {"access": nothing.access})]


def slashes() -> tuple[Route, ...]:
    """Return the addresses of pages with a slash too few or too many, each with the marker of its page.

    They lead to the page without a look at whether there is one.
    """
    pages = [(route.path.removesuffix("{path}"), route.access) for route in PAGES if "get" in route.methods]
    return tuple(
        Route(path.removesuffix("/") if path.endswith("/") else f"{path}/", access, session.Slash)
        for path, access in pages
        if path
    )


def rules(prefix: str, static: str) -> list[Any]:
    """Return tornado's rules for all routes under ``prefix``."""
    found: list[Any] = []
    for route in PAGES + slashes() + RUNTIME + LAUNCHED + API + REST:
        options = {"path": static} if route.handler is session.StaticFile else {}
        found.append((re.escape(prefix) + route.pattern, route.handler, {**options, "access": route.access}))
    return found + elsewhere()

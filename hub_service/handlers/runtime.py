"""What app servers ask; each speaks for itself alone, by its own Hub token."""

from __future__ import annotations

from typing import Any

from hub_service import asked
from hub_service.handlers.base import Api
from vaas.errors import Forbidden, Invalid
from vaas.model import Isolation, ServerName
from vaas.portal.capacity import Load
from vaas.portal.incidents import clean_incidents
from vaas.portal.reports import clean_opens
from vaas.portal.servers import Heartbeat, Visit
from vaas.prose import clean_text
from vaas.slug import is_account

__all__ = [
    "AskPosted",
    "CheckPosted",
    "ContentTar",
    "GivenPosted",
    "HeartbeatPosted",
    "ManifestJson",
    "OutlinePosted",
    "PictureHtml",
]


class FromServer(Api):
    """A request of an app server; its token tells which."""

    async def prepare(self) -> None:
        """Let in the holder of an app server's own token, and nobody else."""
        model = await self.hub_auth.get_user(self, sync=False)
        if not model or not is_account(model.get("name", "")):
            raise Forbidden("This is for app servers.")
        self.server = ServerName(model["name"], self._named(model))

    def _named(self, model: dict[str, Any]) -> str:
        """Read the server's name out of the one scope that a server's token has for itself."""
        start = f"access:servers!server={model['name']}/"
        names = {scope.removeprefix(start) for scope in model.get("scopes", []) if scope.startswith(start)}
        if len(names) != 1:
            raise Forbidden("This is for app servers.", log_message=f"{model['name']}: scopes {model.get('scopes')}")
        return names.pop()


class ManifestJson(FromServer):
    """What the server is to run."""

    async def get(self) -> None:
        """Send the manifest, once it is known whether apps share what this one was published with."""
        await self.portal.core.look_at_common()
        self.reply(self.portal.servers.manifest(self.server, public_url=self.public_url))


class ContentTar(FromServer):
    """The files of what the server is to run."""

    async def get(self) -> None:
        """Send the tar in pieces."""
        self.set_header("Content-Type", "application/x-tar")
        for chunk in self.portal.servers.content(self.server):
            self.write(chunk)
            await self.flush()


class HeartbeatPosted(FromServer):
    """Who is visiting, and may they stay."""

    async def post(self) -> None:
        """Answer which visits must end, and what may be reached."""
        said = self.json
        told, went_wrong = _isolation(said.get("isolation")), clean_incidents(said.get("incidents"))
        try:
            visits = tuple(_visit(v["id"], v["user"], *v["links"]) for v in said["visits"])
            load, opens = _load(said.get("load")), clean_opens(said.get("opens"))
            beat = Heartbeat(visits, float(said["idle_seconds"]), told, went_wrong, load, opens)
        except (KeyError, TypeError, ValueError) as error:
            raise Invalid("This is no heartbeat.") from error
        self.reply(await self.portal.servers.heartbeat(self.server, beat))


class CheckPosted(FromServer):
    """How a check goes, and what it found."""

    def post(self) -> None:
        """Keep it."""
        progress, report = self.json.get("progress") or {}, self.json.get("report") or {}
        if not isinstance(progress, dict) or not isinstance(report, dict):
            raise Invalid("This is no report.")
        self.portal.servers.checked(self.server, progress=progress, report=report, of=self.text("hash"))
        self.reply({})


class OutlinePosted(FromServer):
    """What the page shows, for those who wait for it."""

    def post(self) -> None:
        """Keep it."""
        self.portal.servers.outlined(self.server, self.json)
        self.reply({})


class PictureHtml(FromServer):
    """How the app's page looked last, for the server to show to those who wait there."""

    def get(self) -> None:
        """Send it as a piece of HTML, empty when there is none."""
        outline = self.portal.servers.outline(self.server)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.settings["templates"].get_template("picture.html").render(outline=outline))


class AskPosted(FromServer):
    """What a visitor of the portal's own app asks, or of an app that they handed a basket to, by their kernel."""

    async def post(self) -> None:
        """Answer it as to the visitor; who that is, is proven by what we signed when they came."""
        said = self.json
        args = said.get("args")
        if not isinstance(args, dict):
            raise Invalid("This is no question.")
        asker = await self.portal.speaking.asker(self.server, self.text("proof"))
        verb, base = self.text("verb"), self.public_url
        self.reply(await self.while_heard(asked.answer_asker(self.portal, asker, verb, args, base=base)))


class GivenPosted(FromServer):
    """What a visit gives to its visitor's launch."""

    async def post(self) -> None:
        """Keep it for them; who that is, is proven by what we signed when they came."""
        self.reply({"id": await self.portal.giving.keep(self.server, self.text("proof"), self.json.get("given"))})


def _isolation(said: object) -> Isolation | None:
    """Return what a server says of its kernels; None when it says nothing that can be understood."""
    if not isinstance(said, dict) or not isinstance(said.get("sandbox"), bool):
        return None
    why = said.get("why")
    return Isolation(said["sandbox"], " ".join(clean_text(why[:1000]).split())[:300] if isinstance(why, str) else "")


def _load(said: object) -> Load:
    """Return what a server says of its load; what is no number that can be is 0, so that it gets no more for it."""
    told = said if isinstance(said, dict) else {}
    numbers = (told.get(name) for name in ("pages", "waiting", "memory"))
    return Load(*(n if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 50 else 0 for n in numbers))


def _visit(id: str, user: str, *links: str) -> Visit:
    if not all(isinstance(word, str) for word in (id, user, *links)):
        raise TypeError("words only")
    return Visit(id, user, links)

"""The app server's requests. Each handler says nothing about who may come: its route does, and `Guarded` holds it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from tornado.web import HTTPError, RequestHandler

from vaas import cookies
from vaas.errors import Invalid, Unavailable, VaasError
from vaas.runtime import frames
from vaas.runtime.bridge import MOST_UNREAD, Connection
from vaas.runtime.endings import Notice, Trouble
from vaas.runtime.given import launch_address
from vaas.runtime.visits import Page, Visit
from vaas.tickets import Ticket

if TYPE_CHECKING:
    from vaas.runtime.server import AppServer

__all__ = ["Channels", "Enter", "Farewell", "Given", "Guarded", "Kernel", "Missing", "Poke", "State", "Up"]

Access = Literal["open", "visit", "ticket"]
_STATUS: dict[type[VaasError], int] = {Invalid: 403, Unavailable: 503}
log = logging.getLogger(__name__)


class Guarded(RequestHandler):
    """Let in who the route's access marker lets in; answer everybody else as if there were nothing."""

    #: What a ticket has to be for, where the route asks for one.
    purpose = ""
    visit: Visit | None = None
    ticket: Ticket | None = None

    def initialize(self, *, server: AppServer, access: Access) -> None:
        """Take what the route table gives."""
        self.server = server
        self.access = access

    async def prepare(self) -> None:
        """Hold the route's access marker."""
        if "Service-Worker" in self.request.headers:
            raise HTTPError(404)  # a service worker of a notebook's would outlive its version and see all that come
        answer = getattr(type(self), (self.request.method or "").lower(), None)
        if answer in (None, RequestHandler._unimplemented_method):
            raise HTTPError(404)
        if self.access == "ticket":
            self.check_sender()
            self.ticket = self.server.take_ticket(self.get_body_argument("ticket", ""), purpose=self.purpose)
        elif self.access == "visit":
            self.visit = self.server.visits.find(self.secret)
            if self.visit is None:
                self.turn_away()
                return
        inherited = super().prepare()
        if inherited is not None:
            await inherited

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Read a part of the address as every browser writes it; what is no UTF-8 names nothing."""
        try:
            return super().decode_argument(value, name)
        except HTTPError as error:
            raise HTTPError(404) from error

    @property
    def takes_gzip(self) -> bool:
        """Whether the browser reads what is compressed."""
        return "gzip" in self.request.headers.get("Accept-Encoding", "")

    @property
    def secret(self) -> str:
        """The visit's cookie, if the request brings it once: of two, one was planted."""
        return cookies.only("; ".join(self.request.headers.get_list("Cookie")), self.server.cookie)

    def check_sender(self) -> None:
        """Refuse a ticket that comes from the wrong place; by default any place will do."""

    def turn_away(self) -> None:
        """Answer somebody without a visit."""
        raise HTTPError(404)

    def set_default_headers(self) -> None:
        """Set what every answer carries."""
        self.clear_header("Server")
        for name, value in self.settings["vaas_headers"].items():
            self.set_header(name, value)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Keep errors for visitors out of the log, which is for those of the server."""
        if isinstance(value, VaasError):
            log.info("%s: %s", self.request.path, value.log_message)
        elif not isinstance(value, HTTPError) or value.status_code >= 500:
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer errors of ours with their own status."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(_STATUS.get(type(error), status_code), **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show a page that a visitor understands."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        text = error.message if isinstance(error, VaasError) else ""
        if status_code == 503:
            self.set_header("Retry-After", "30")
        self.finish(self.server.messages.wrong(status_code, text=text))


class Missing(Guarded):
    """Everything that no route names."""

    def prepare(self) -> None:  # type: ignore[override]
        """Answer before a method is chosen, so that all of them look the same."""
        raise HTTPError(404)


class Up(Guarded):
    """Tell the Hub that the server is up, the portal whether it is worth to wait a little, and nobody anything else."""

    def get(self) -> None:
        """Answer with nothing: 204, or 202 while a visitor sees more at the portal's door."""
        self.set_status(202 if self.server.preparing else 204)


class Enter(Guarded):
    """Turn the portal's ticket into a visit."""

    purpose = "visit"

    def check_sender(self) -> None:
        """Accept the portal's own page only: another site must not log its visitors in with a ticket of its own."""
        if self.request.headers.get("Origin", "").lower() != self.server.manifest.portal_origin:
            raise Invalid("This way in is not valid. Open the app from the portal.")

    def post(self) -> None:
        """Set the visit's cookie and show the page."""
        assert self.ticket is not None
        server, manifest = self.server, self.server.manifest
        visit = server.admit(self.ticket, secret=self.secret)
        cookie = cookies.written(
            server.cookie, visit.secret, path=server.base_url, secure=manifest.secure, embedded=manifest.embedded
        )
        self.add_header("Set-Cookie", cookie)
        query = urlencode(parse_qsl(self.get_body_argument("query", "").lstrip("?"), keep_blank_values=True))
        self.redirect(self.server.base_url + (f"?{query}" if query else ""), status=303)


class Poke(Guarded):
    """Ask the portal at once who may stay."""

    purpose = "poke"

    def post(self) -> None:
        """Have the next heartbeat now."""
        self.server.poked.set()
        self.set_status(204)


class Farewell(Guarded):
    """The page says that it is gone (a beacon that browsers send while they close it)."""

    def post(self) -> None:
        """Let the page go; ``over`` after its token: at once, for who wants to start anew.

        The token in the body proves that the page itself says so, not another site.
        """
        assert self.visit is not None
        token, _, over = self.request.body.decode("ascii", "replace").strip().partition(" ")
        page = self.visit.pages.get(token)
        if page is None:
            raise HTTPError(404)
        if over:
            self.server.end(page, why="left")
        else:
            self.server.leave(page)
        self.set_status(204)


class Given(Guarded):
    """The visitor goes on in a copy of their own, with the values that the widgets have here."""

    async def post(self) -> None:
        """Answer where that is. The page's token in the body proves that the page itself asks, not another site."""
        assert self.visit is not None
        page = self.visit.pages.get(self.request.body.decode("ascii", "replace").strip())
        if page is None or not (self.visit.may_read and self.visit.launch):
            raise HTTPError(404)
        if page.giving:
            raise HTTPError(429)
        page.giving = True
        try:
            self.finish({"launch": await launch_address(self.server, self.visit, page)})
        finally:
            page.giving = False


class Kernel(Guarded):
    """What Jupyter's front end asks before it connects."""

    def get(self, kernel_id: str) -> None:
        """Describe a kernel of the own visit."""
        if self.server.visits.page_of(self.visit, kernel_id) is None or kernel_id not in self.server.kernels.mapping:
            raise HTTPError(404)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self.server.kernels.model(kernel_id), default=str))


class State(Guarded):
    """The state of a page's widgets when it was ready: what its kernel would tell."""

    def get(self, digest: str) -> None:
        """Send the state of a page of the own visit."""
        found = self.server.visits.state_of(self.visit, digest)
        if found is None:
            raise HTTPError(404)
        if found.shared:
            self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Vary", "Accept-Encoding")
        if self.takes_gzip:
            self.set_header("Content-Encoding", "gzip")
        self.finish(found.compressed if self.takes_gzip else found.body)


class Channels(Guarded, KernelWebsocketHandler):
    """The websocket between a page's widgets and its kernel."""

    page: Page | None = None
    connected = False
    #: Bytes that were written and have not left yet.
    unread = 0

    @property
    def kernel_websocket_connection_class(self) -> type[Connection]:
        """The bridge with the gate."""
        return Connection

    def set_default_headers(self) -> None:
        """Set nothing: the answer is a change of protocol."""

    def check_origin(self, origin: str | None = None) -> bool:
        """Accept pages of this very server only."""
        return origin is not None and urlsplit(origin.lower()).netloc == self.request.host.lower()

    async def get(self, kernel_id: str) -> None:
        """Connect to a kernel of the own visit."""
        # tornado asks check_origin() only if there is an origin; every browser names one, so who does not is no page.
        if "Origin" not in self.request.headers:
            raise HTTPError(403)
        self.page = self.server.visits.page_of(self.visit, kernel_id)
        if self.page is None or kernel_id not in self.server.kernels.mapping:
            raise HTTPError(404)
        connecting = super().get(kernel_id=kernel_id)
        assert connecting is not None  # Jupyter's get() is a coroutine
        await connecting

    async def open(self, kernel_id: str) -> None:
        """Note that somebody is there."""
        assert self.page is not None
        self.connected = True
        self.server.visits.connected(self.page)
        self.server.sockets.setdefault(self.page.token, set()).add(self)
        # A kernel's answer is several small messages: the system would keep the second for 40 ms.
        self.set_nodelay(True)
        # Jupyter does not wait for a busy kernel's messages to arrive here, so some may be missed.
        busy = self.server.kernels.mapping.activity(kernel_id).busy
        await super().open(kernel_id)
        if self.get_query_argument("vaas", "") == "state":
            state = "" if busy else await self.server.state_of(self.page)
            if self.ws_connection is not None:
                self.write_message(json.dumps({"state": state}))
        if self.page.unprepared:
            self.tell("unprepared")

    def tell(self, notice: Notice) -> None:
        """Tell the visitor something, in a text frame: Jupyter's binary protocol has no use for these."""
        if self.ws_connection is not None and self.selected_subprotocol == frames.V1:
            self.write_message(json.dumps({"notice": notice}))

    def write_message(self, message: Any, binary: bool = False) -> Any:
        """Send a message; a browser that reads too slowly for what its app says loses the page."""
        written = super().write_message(message, binary)
        size = len(message)
        self.unread += size
        written.add_done_callback(lambda done: self._sent(done, size))
        if self.unread > MOST_UNREAD:
            self.overflow("The app says more than the browser reads", self.unread)
        return written

    def overflow(self, text: str, waiting: int) -> None:
        """End the page, of which so many bytes wait."""
        if self.page is not None:
            self.server.break_off(self.page, Trouble("flooded", "output", f"{text}: {waiting / 1e6:.0f} MB wait."))
        # A polite goodbye would wait behind all that.
        if self.ws_connection is not None and self.unread > MOST_UNREAD:
            self.ws_connection.stream.close()

    def _sent(self, done: Any, size: int) -> None:
        self.unread -= size
        if not done.cancelled():
            done.exception()

    def on_close(self) -> None:
        """Note that nobody is there any more."""
        if self.page is not None and self.connected:
            self.connected = False
            self.server.visits.disconnected(self.page, now=self.server.clock())
            self.server.sockets.get(self.page.token, set()).discard(self)
        if self.connection is not None:
            super().on_close()

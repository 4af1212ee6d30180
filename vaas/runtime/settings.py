"""What tornado and Jupyter's handlers want to know before the first request, and the headers of every answer."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, User
from tornado.web import RequestHandler
from traitlets.config import Config

from vaas.runtime.kernels import Kernels
from vaas.runtime.manifest import Manifest

__all__ = ["application_settings", "response_headers"]

#: Pings find a network that went away without a word. Jupyter looks for the pong before it has sent the first ping,
#: so that a time as short as the interval would close every socket.
_PINGS_LOST = 3
_MOST_IN_A_FRAME = 32 << 20
#: What no dashboard needs, and what asks a visitor for their keys or their money in the app's name.
_NO_DEVICES = ", ".join(
    f"{feature}=()"
    for feature in (
        "hid",
        "identity-credentials-get",
        "midi",
        "payment",
        "publickey-credentials-create",
        "publickey-credentials-get",
        "serial",
        "usb",
    )
)


class _VisitIdentity(IdentityProvider):
    """A visit is all there is to know of somebody; no anonymous user name in a cookie of its own."""

    async def _get_user(self, handler: RequestHandler) -> User | None:
        visit = getattr(handler, "visit", None)
        return None if visit is None else User(username=visit.id)

    get_user = _get_user


def application_settings(manifest: Manifest, *, base_url: str, kernels: Kernels) -> dict[str, Any]:
    """Return the application's settings; compression is among them because it works only from the beginning."""
    return {
        "base_url": base_url,
        "config": Config(),
        "kernel_manager": kernels.mapping,
        "identity_provider": _VisitIdentity(),
        "authorizer": AllowAllAuthorizer(),
        # Routes say who may come, and `Guarded` holds it; Jupyter's own login does not exist here.
        "allow_unauthenticated_access": True,
        "allow_remote_access": True,
        "compress_response": True,
        "ws_ping_interval": manifest.limits.ping * 1000,
        "ws_ping_timeout": manifest.limits.ping * 1000 * _PINGS_LOST,
        "websocket_max_message_size": _MOST_IN_A_FRAME,
        "vaas_headers": response_headers(manifest),
    }


def response_headers(manifest: Manifest) -> dict[str, str]:
    """Return the headers of every answer. A notebook's scripts may run, and may reach nothing but this server;
    pictures (a map's tiles) may come from where the site allows."""
    ancestors = " ".join(manifest.frame_ancestors) or "'none'"
    outside = "".join(f" {source}" for source in manifest.picture_sources)
    policy = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": f"'self' data: blob:{outside}",
        "media-src": f"'self' data: blob:{outside}",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "frame-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": ancestors,
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        # No window that this page opens, or that opened it, has a handle on the other, apps of one site included.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Origin-Agent-Cluster": "?1",
        "Permissions-Policy": _NO_DEVICES,
        "X-DNS-Prefetch-Control": "off",
        "Cache-Control": "no-store",
        "Content-Type": "text/html; charset=UTF-8",
    }

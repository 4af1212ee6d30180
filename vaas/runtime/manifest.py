"""What the portal tells an app server about itself, as frozen values."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaas.addresses import origin_of
from vaas.cookies import takes_secure
from vaas.errors import Invalid
from vaas.model import File, ServerName
from vaas.runtime.python import Site

__all__ = ["Limits", "Manifest", "share"]


@dataclass(frozen=True)
class Limits:
    """How much and how long: bytes and seconds."""

    heartbeat: float = 5.0
    lost_after: float = 60.0
    #: How long a page that was closed is kept for who comes back to it, as by a reload.
    leave_after: float = 5.0
    visits: int = 200
    cell_seconds: int = 600
    #: How long visits live on while the portal does not answer; then they are closed.
    unreachable: float = 30.0
    #: How long after a page was sent its first websocket may take.
    connect_within: float = 60.0
    #: What one kernel may use with its processes: see vaas.runtime.sandbox.Bounds.
    kernel_memory: int = 2_000_000_000
    kernel_disk: int = 500_000_000
    kernel_file: int = 500_000_000
    kernel_processes: int = 256
    kernel_open_files: int = 1024
    kernel_cpu: int = 3600
    #: How many bytes of memory this server may use for itself: a kernel that makes it grow ends its own app alone.
    server_memory: int = 4_000_000_000
    #: How many bytes of memory all kernels may have together; 0: as many as there are.
    memory: int = 0
    #: How long a page may stand still while its kernel says that it has nothing to do.
    stalled_after: float = 20.0
    #: How often a websocket says that it is still there, so that proxies keep it.
    ping: float = 20.0
    #: How many forks are kept ahead of visits; and how many kernels that have run, where there can be no forks.
    #: With ``ahead`` 0 nothing is kept ready: the notebook runs for each visit.
    ahead: int = 1
    spares: int = 3
    warm: int = 2
    #: After how many seconds the notebook is run again for new visits; 0: never.
    template_age: int = 3600
    #: How many bytes of output a page may produce while it is prepared.
    output: int = 50_000_000

    @property
    def start_seconds(self) -> float:
        """How long a kernel may take to start."""
        return 3 * self.stalled_after


@dataclass(frozen=True)
class Manifest:
    """One version of one app, and where its portal is."""

    server: ServerName
    app_id: str
    title: str
    version: str
    hash: str
    notebook: str
    files: tuple[File, ...]
    ticket_key: bytes = field(repr=False)
    portal: str
    about: str
    launch: str
    open: str
    check_seconds: int | None
    limits: Limits
    frame_ancestors: tuple[str, ...]
    #: Where pages may load pictures, sound and video from, besides the server itself, as a CSP writes it.
    picture_sources: tuple[str, ...] = ()
    #: What kernels may reach of the network, as vaas.network writes it.
    network: tuple[str, ...] = ()
    #: Hosts that the site itself lets apps reach: they may have private addresses.
    network_trusted: tuple[str, ...] = ()
    #: Whether the notebook's code may be told who is looking.
    knows_visitor: bool = False
    #: Whether its kernels may ask the portal as their visitor.
    speaks: bool = False
    #: Whether they may ask it for a basket that their visitor hands over.
    takes_basket: bool = False
    #: The digest of the environment in which its notebook runs; "": the one that all apps share.
    environment: str = ""
    #: The site's environment that was chosen for it instead; None: none was.
    site: Site | None = None
    #: How many pages, and how many bytes of its kernels, this server may have at first of what the whole site may;
    #: None: the site sets no such limit.
    site_visits: int | None = None
    site_memory: int | None = None

    @property
    def portal_origin(self) -> str:
        """Scheme and host of the portal as browsers write them in ``Origin``."""
        return origin_of(self.portal)

    @property
    def secure(self) -> bool:
        """Whether visitors' browsers take Secure cookies from here."""
        return takes_secure(self.portal)

    @property
    def embedded(self) -> bool:
        """Whether pages of other sites may frame this app; the portal itself frames drafts."""
        return bool(set(self.frame_ancestors) - {"'none'", "'self'", self.portal_origin})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Return the manifest that the portal sent.

        Raises
        ------
        Invalid
            A field is missing or of the wrong kind.
        """
        try:
            _, _, account, name, _ = data["server"].rsplit("/", 4)
            manifest = cls(
                server=ServerName(account, name),
                app_id=data["app"]["id"],
                title=data["app"]["title"],
                version=str(data["version"]),
                hash=data["hash"],
                notebook=data["notebook"],
                files=tuple(File(file["path"], file["sha256"], int(file["size"])) for file in data["files"]),
                ticket_key=base64.urlsafe_b64decode(data["ticket_key"] + "=="),
                portal=data["portal"],
                about=data["about"],
                launch=data["launch"],
                open=data["open"],
                check_seconds=int(data["check"]["seconds"]) if data.get("check") else None,
                limits=Limits(**{k: v for k, v in data["limits"].items() if k in Limits.__dataclass_fields__}),
                frame_ancestors=tuple(data["frame_ancestors"]),
                picture_sources=tuple(data.get("picture_sources", ())),
                network=tuple(data.get("network", ())),
                network_trusted=tuple(data.get("network_trusted", ())),
                **{name: data.get(name) is True for name in ("knows_visitor", "speaks", "takes_basket")},
                environment=str(data.get("environment") or ""),
                site=Site(**data["site"]) if data.get("site") else None,
                site_visits=share(data, "site_visits"),
                site_memory=share(data, "site_memory"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Invalid(f"The portal's manifest cannot be used: {error!r}.") from error
        if len(manifest.ticket_key) < 32 or not any(file.path == manifest.notebook for file in manifest.files):
            raise Invalid("The portal's manifest cannot be used: its key is short or its notebook is not listed.")
        return manifest


def share(data: Mapping[str, Any], name: str) -> int | None:
    """Return what the portal says that this server may have of what the site may; None: it says nothing."""
    return int(data[name]) if data.get(name) is not None else None

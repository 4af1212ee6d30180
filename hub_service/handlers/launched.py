"""What launches ask: what to place, the bytes of it, and where they say how it goes; each speaks for itself alone."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any

from tornado.iostream import StreamClosedError

from hub_service.handlers.base import Api
from vaas.errors import Forbidden, Invalid
from vaas.model import ServerName
from vaas.parcels import digest_field
from vaas.portal.reading import MOST
from vaas.slug import is_account

__all__ = ["ContentTar", "FromLaunch", "ManifestJson", "ProgressPosted", "ThingBytes", "ThingParcel"]

_SERVER = re.compile(r"l[a-z0-9]{12}")
_LONGEST = 1 << 50
_ONLY = "This is for launches."


class FromLaunch(Api):
    """A request of a launch; its own Hub token tells which."""

    async def prepare(self) -> None:
        """Let in the holder of a launch's own token, and nobody else."""
        model = await self.hub_auth.get_user(self, sync=False)
        if not model or model.get("kind", "user") != "user" or is_account(model.get("name", "")):
            raise Forbidden(_ONLY)
        self.server = ServerName(model["name"], self._named(model))

    def _named(self, model: dict[str, Any]) -> str:
        """Read the launch's name out of the one scope that its token has for itself."""
        start = f"access:servers!server={model['name']}/"
        names = {scope.removeprefix(start) for scope in model.get("scopes", []) if scope.startswith(start)}
        name = names.pop() if len(names) == 1 else ""
        if not _SERVER.fullmatch(name):
            raise Forbidden(_ONLY, log_message=f"{model['name']}: scopes {model.get('scopes')}")
        return name


class ManifestJson(FromLaunch):
    """What is to be placed."""

    async def get(self) -> None:
        """Send the manifest."""
        self.reply(await self.portal.placing.manifest(self.server, public_url=self.public_url))


class ContentTar(FromLaunch):
    """The files of the working copy."""

    async def get(self) -> None:
        """Send the tar in pieces."""
        self.set_header("Content-Type", "application/x-tar")
        for chunk in await self.portal.placing.content(self.server):
            self.write(chunk)
            await self.flush()


class ThingBytes(FromLaunch):
    """The bytes of a thing of the launch's basket, piece by piece."""

    async def get(self, thing: str) -> None:
        """Send one piece and its checksum, with the size of the whole and a mark of the state that it is of."""
        offset, size = self._number("offset", 0), min(MOST, self._number("size", MOST))
        reading = self.portal.placing.piece(self.server, thing, offset=offset, size=size)
        piece = await self.while_heard(reading)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("ETag", f'"{piece.etag}"')
        self.set_header("X-Size", str(piece.size))
        # In a thread: two megabytes are milliseconds, in which the portal would answer nobody.
        self.set_header("Content-Digest", await asyncio.to_thread(digest_field, piece.data))
        self.finish(piece.data)

    def _number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not text.isdecimal() or int(text) > _LONGEST:
            raise Invalid(f"“{name}” must be a number.")
        return int(text)

    def check_etag_header(self) -> bool:
        """Answer with the bytes whatever was there before: a piece is asked for once."""
        return False


class ThingParcel(FromLaunch):
    """A thing of the launch's basket in one go: a folder, or what lies at another site."""

    async def get(self, thing: str) -> None:
        """Send its parts as they come; what cannot be had at all is an error as any other."""
        async with aclosing(self.portal.placing.parcel(self.server, thing)) as parts:
            first = await self.while_heard(anext(parts))
            self.set_header("Content-Type", "application/octet-stream")
            self.write(first)
            try:
                async for each in parts:
                    self.write(each)
                    await self.flush()
            except StreamClosedError:
                return


class ProgressPosted(FromLaunch):
    """How a launch goes."""

    def post(self) -> None:
        """Keep it, and answer whether the launch is to stop."""
        self.reply({"stop": self.portal.placing.progressed(self.server, self.json)})

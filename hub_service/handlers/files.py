"""My files: browsing the person's stores, looking at a notebook, uploading, connecting an account."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from hub_service.handlers.base import Page
from hub_service.markdown import markdown
from vaas.errors import Invalid, NotFound, VaasError
from vaas.model import Entry
from vaas.stores.base import Store, check_path

__all__ = ["FilesPage", "StoresPage", "UploadPage"]


class FilesPage(Page):
    """A folder of a store, or a notebook in it."""

    nav = "files"

    async def get(self, store_id: str = "", path: str = "") -> None:
        """Show the folder or the notebook."""
        stores = self.portal.core.stores.of(self.person)
        if not store_id and not stores:
            raise NotFound("You have no place for files yet. Connect one first.")
        store = self.portal.core.store(self.person, store_id) if store_id else stores[0]
        path = check_path(path)
        if path.endswith(".ipynb"):
            await self._show_notebook(store, path)
        else:
            await self._show_folder(store, stores, path)

    async def _show_folder(self, store: Store, stores: list[Store], path: str) -> None:
        problem, entries = "", tuple[Entry, ...]()
        try:
            entries = await store.list(path)
        except VaasError as error:
            problem = error.message
        context = {
            "stores": [self._place(each) for each in stores],
            "store": self._place(store),
            "crumbs": self._crumbs(store, path),
            "entries": [self._row(store, entry) for entry in entries],
            "upload_url": f"{self.base}upload",
            "problem": problem,
        }
        self.show("files.html", title="My files", context=context)

    async def _show_notebook(self, store: Store, path: str) -> None:
        drafts = self.portal.drafts
        store, parsed, entries, suggested = await drafts.around(self.person, store.id, path)
        cells = [
            {
                "kind": cell.kind,
                "source": cell.source,
                "html": markdown(cell.source) if cell.kind == "markdown" else "",
            }
            for cell in parsed.cells
        ]
        context = {
            "entry": await store.stat(path),
            "store": self._place(store),
            "crumbs": self._crumbs(store, path),
            "cells": cells,
            "folder_entries": entries,
            "suggested": suggested,
            "publish_url": f"{self.base}drafts/",
            "run": self.portal.belongings.of_result(self.person, store.id, path),
            "launch_url": f"{self.base}launch?{urlencode({'store': store.id, 'path': path})}",
        }
        self.show("notebook.html", title=parsed.title or "Notebook", context=context)

    def _place(self, store: Store) -> dict[str, str]:
        kind = "webdav" if store.id.startswith("dav-") else "folder"
        return {"id": store.id, "title": store.title, "kind": kind, "url": self._url(store, "")}

    def _row(self, store: Store, entry: Entry) -> dict[str, Any]:
        opens = entry.folder or entry.is_notebook
        url = self._url(store, entry.path) if opens else ""
        return {"entry": entry, "url": url, "publish_url": f"{self.base}drafts/" if entry.is_notebook else ""}

    def _crumbs(self, store: Store, path: str) -> list[dict[str, str]]:
        parts = path.split("/") if path else []
        paths = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        first = {"name": store.title, "url": self._url(store, "")}
        return [first] + [{"name": p.rpartition("/")[2], "url": self._url(store, p)} for p in paths]

    def _url(self, store: Store, path: str) -> str:
        return f"{self.base}files/{store.id}/{quote(path)}"


class UploadPage(Page):
    """Files that were dropped into the page: straight into a draft."""

    def post(self) -> None:
        """Make the draft."""
        files = {file.filename: file.body for file in self.request.files.get("files", [])}
        if not files:
            raise Invalid("No files came along. Choose a notebook, or a folder with one.")
        draft = self.portal.drafts.begin_upload(self.person, files, slug=self.get_body_argument("slug", ""))
        self.done(f"drafts/{draft.id}/")


class StoresPage(Page):
    """The places where a person's files are."""

    nav = "files"

    def get(self) -> None:
        """Show them, and the form for one more."""
        self.write_page("")

    async def post(self) -> None:
        """Connect or disconnect an account."""
        stores = self.portal.core.stores
        if self.get_body_argument("do", "") == "disconnect":
            stores.disconnect(self.person, self.get_body_argument("id"))
            self.done("stores/", "Disconnected. Nothing was deleted there.")
            return
        names = ("title", "url", "username", "password")
        said = {name: self.get_body_argument(name, "", strip=name != "password") for name in names}
        try:
            account = await stores.connect(self.person, **said)
        except VaasError as error:
            self.set_status(400)
            self.write_page(error.message)
            return
        self.portal.core.written(self.person, account.id, "")
        self.done(f"files/{account.id}/", f"“{account.title}” is connected.")

    def write_page(self, problem: str) -> None:
        """Show the places, with what went wrong."""
        stores = self.portal.core.stores
        folders = [{"title": store.title} for store in stores.of(self.person) if not store.id.startswith("dav-")]
        form = {name: self.get_body_argument(name, "") for name in ("title", "url", "username")}
        context = {"accounts": stores.accounts(self.person), "folders": folders, "problem": problem, "form": form}
        self.show("stores.html", title="Places for files", context=context)

"""`vaas search`: what the portal and its catalogs have, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from vaas import cli_client
from vaas.errors import VaasError
from vaas.prose import clean_text

__all__ = ["add_search", "run_search"]

_SHOWN = ("type", "owner", "tag", "format")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "words",
        nargs="*",
        help='words, "phrases", beginnings* and fields, such as type:app owner:ada tag:climate after:2026-01',
    )
    parser.add_argument("--limit", type=int, default=20, help="how many hits at most (default: 20)")
    parser.add_argument("--json", action="store_true", help="print what the portal answers, for programs")
    cli_client.add_portal(parser)


def run_search(options: argparse.Namespace, more: Sequence[str] = ()) -> int:
    """Print the hits; return 0, or 1 when there is none, or 2 for everything that went wrong.

    ``more``: words that look like options and are none, such as ``-draft``.
    """
    try:
        page = asyncio.run(_ask(options, (*options.words, *more)))
    except (VaasError, OSError, UnicodeError) as error:
        print(f"vaas search: {clean_text(str(error))}", file=sys.stderr)
        return 2
    # What others wrote is shown to a terminal: nothing in it may be a command to it.
    lines = (
        [json.dumps(page, indent=1)]
        if options.json
        else ["\n" * line.startswith("\n") + clean_text(line) for line in _lines(page)]
    )
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write("\n".join([*lines, ""]).encode(sys.stdout.encoding or "utf-8", "replace"))
        sys.stdout.flush()
    for said in (*page["notes"], *page["silent"].values()):
        print(f"Note: {clean_text(said)}", file=sys.stderr)
    return 0 if page["records"] else 1


async def _ask(options: argparse.Namespace, words: Sequence[str]) -> Mapping[str, Any]:
    asked = urlencode({"q": " ".join(words), "limit": options.limit})
    page: Mapping[str, Any] = await cli_client.of_anybody(options).call("GET", f"search?{asked}")
    return page


def _lines(page: Mapping[str, Any]) -> Iterator[str]:
    width = max(20, min(shutil.get_terminal_size().columns, 100))
    if not page["records"]:
        yield "Nothing is found."
        return
    shown, total = len(page["records"]), page["total"]
    nearly = " that fit nearly" if page["corrected"] else ""
    yield f"{total} hit{'s' if total != 1 else ''}{nearly}{f', the first {shown}' if shown < total else ''}"
    for record in page["records"]:
        where = f" by {record['owner']}" if record["owner"] and record["type"] != "person" else ""
        yield f"\n{record['title']}  ({record['type']}{where})"
        if record["summary"]:
            yield textwrap.shorten(record["summary"], width, placeholder="…")
        if record["url"]:
            yield record["url"]
    yield ""
    for name in _SHOWN:
        counts = page["facets"].get(name, {})
        if len(counts) > 1:
            most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:8]
            told = ", ".join(f"{value} ({number})" for value, number in most)
            about = "about " if page["estimated"] else ""
            yield textwrap.shorten(f"{name}: {about}{told}", width, placeholder="…")

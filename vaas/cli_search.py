"""`vaas search`: what the portal and its catalogs have, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from vaas import cli_client
from vaas.errors import VaasError

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


def run_search(options: argparse.Namespace) -> int:
    """Print the hits; return 0, or 1 when there is none, or 2 for everything that went wrong."""
    try:
        page = asyncio.run(_ask(options))
    except (VaasError, OSError) as error:
        print(f"vaas search: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(page, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(page)))
    for said in (*page["notes"], *page["silent"].values()):
        print(f"Note: {said}", file=sys.stderr)
    return 0 if page["records"] else 1


async def _ask(options: argparse.Namespace) -> Mapping[str, Any]:
    asked = urlencode({"q": " ".join(options.words), "limit": options.limit})
    page: Mapping[str, Any] = await cli_client.of(options).call("GET", f"search?{asked}")
    return page


def _lines(page: Mapping[str, Any]) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, 100)
    if not page["records"]:
        yield "Nothing is found."
        return
    shown, total = len(page["records"]), page["total"]
    nearly = " that fit nearly" if page["corrected"] else ""
    yield f"{total} hit{'s' if total != 1 else ''}{nearly}{f', the first {shown}' if shown < total else ''}"
    for record in page["records"]:
        where = f" by {record['owner']}" if record["owner"] else ""
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
            yield textwrap.shorten(f"{name}: " + ", ".join(f"{value} ({n})" for value, n in most), width)

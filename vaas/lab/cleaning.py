"""What of a notebook's HTML is shown on the page of its result: words, tables, pictures; nothing that acts or loads."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser

__all__ = ["cleaned"]

_TEXT = (
    *("a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "details", "div", "dl"),
    *("dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li"),
    *("mark", "ol", "p", "pre", "q", "s", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td"),
    *("tfoot", "th", "thead", "tr", "u", "ul"),
)
_TAGS = frozenset(_TEXT)
_ALONE = frozenset({"br", "col", "hr", "img"})
#: What is between them is no text for anybody.
_DROPPED = frozenset({"script", "style", "iframe", "object", "noscript", "template", "textarea", "title", "xmp"})
_ATTRIBUTES = {
    **{"a": ("href", "title"), "img": ("alt", "height", "src", "title", "width"), "col": ("span",)},
    **{"td": ("colspan", "rowspan"), "th": ("colspan", "rowspan", "scope"), "ol": ("start",), "details": ("open",)},
}
_LINK = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)
#: Pictures are part of the page, or are not shown: whoever looks tells nobody.
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*\Z")
#: Bytes of HTML of one output.
MOST = 5_000_000


def cleaned(text: str) -> str:
    """Return the HTML with what may be shown of it: what is not known to be harmless is left out."""
    if len(text) > MOST:
        return "<p><em>This is too large to be shown here.</em></p>"
    cleaner = _Cleaner()
    cleaner.feed(text)
    cleaner.close()
    return cleaner.end()


class _Cleaner(HTMLParser):
    """Writes anew what it knows; nothing of the text comes through as it was."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._made: list[str] = []
        self._open: list[str] = []
        self._dropping = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._dropping += 1
        if self._dropping or tag not in _TAGS:
            return
        known = ((name, value or "") for name, value in attrs if name in _ATTRIBUTES.get(tag, ()))
        said = "".join(f' {name}="{html.escape(value)}"' for name, value in known if _may(name, value))
        more = ' rel="noopener noreferrer"' if tag == "a" else ""
        self._made.append(f"<{tag}{said}{more}>")
        if tag not in _ALONE:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED:
            self._dropping = max(0, self._dropping - 1)
        elif not self._dropping and tag in self._open[-200:]:
            while self._open:
                closed = self._open.pop()
                self._made.append(f"</{closed}>")
                if closed == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self._made.append(html.escape(data))

    def end(self) -> str:
        return "".join(self._made) + "".join(f"</{tag}>" for tag in reversed(self._open))


def _may(name: str, value: str) -> bool:
    if name == "href":
        return _LINK.match(value) is not None
    return name != "src" or _PICTURE.match(value) is not None

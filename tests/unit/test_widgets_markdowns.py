"""Markdown is shown in parts that are text: what it says is read, and nothing in it is followed or run."""

from __future__ import annotations

import time

import pytest

from tests.in_place import InPlace
from tests.small_portal import SmallPortal
from vaas.widgets import shown
from vaas.widgets.markdowns import blocks

_README = """# Wine

What an *analysis* of **178 wines**
found in `wine.csv`.

## Columns
- **alcohol**: by [volume](https://example.org/v "title")
  - ash
1. first

| name | unit |
|------|------|
| ash  | g    |

```python
# no heading
data  = 1
```
Licence
-------
> CC0 <https://creativecommons.org> &amp; ![a logo](logo.png)
"""


def said(text: str) -> list[tuple[str, str]]:
    return [(block["kind"], "".join(run["text"] for run in block["runs"])) for block in blocks(text)]


def test_a_readme_is_read_as_it_is_meant() -> None:
    assert said(_README) == [
        ("head", "Wine"),
        ("text", "What an analysis of 178 wines found in wine.csv."),
        ("head", "Columns"),
        ("item", "alcohol: by volume"),
        ("item", "ash"),
        ("item", "first"),
        ("row", "name · unit"),
        ("row", "ash · g"),
        ("code", "# no heading\ndata  = 1"),
        ("head", "Licence"),
        ("text", "CC0 https://creativecommons.org & a logo"),
    ]
    found = blocks(_README)
    assert [block["level"] for block in found if block["kind"] == "head"] == [1, 2, 2]
    assert [(block["mark"], block["depth"]) for block in found if block["kind"] == "item"] == [
        ("•", 0),
        ("•", 1),
        ("1.", 0),
    ]
    runs = [run for block in found for run in block["runs"]]
    assert {run["text"] for run in runs if run.get("strong")} == {"178 wines", "alcohol"}
    assert [run["text"] for run in runs if run.get("em")] == ["analysis", "a logo"]
    assert [run["to"] for run in runs if "to" in run] == ["https://example.org/v", "https://creativecommons.org"]


@pytest.mark.attack
@pytest.mark.parametrize(
    "text",
    [
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt:alert)",
        "[click](//elsewhere.example.org/x)",
        "[click](data:text/html;base64,AAAA)",
        "<javascript:alert>",
        "[click](../../hub/logout)",
        "<a href='https://example.org' onclick=x>click</a>",
    ],
)
def test_what_leads_nowhere_on_the_web_is_text(text: str) -> None:
    assert [run for block in blocks(text) for run in block["runs"] if "to" in run] == []


@pytest.mark.attack
@pytest.mark.parametrize(
    "text", ["[", "**a ", "*a", "`", "<", "<!--", "![](", "_", "#", "[a](", "<a ", "|", "> ", "- "]
)
def test_it_takes_no_longer_than_in_proportion(text: str) -> None:
    begun = time.process_time()
    blocks(text * 20_000)
    blocks(f"{text}\n" * 20_000)
    assert time.process_time() - begun < 2


def test_of_very_long_texts_the_beginning_is_shown() -> None:
    assert len(blocks("a\n\n" * 5_000)) == 400
    assert len(blocks("a" * 100_000)[0]["runs"][0]["text"]) == 4_000


def test_folders_and_markdown_files_are_shown_so_and_other_text_as_it_is() -> None:
    view = InPlace(SmallPortal)
    key = view.search("type:folder glacier")["records"][0]["key"]
    look = view.preview(key)
    assert look["kind"] == "prose" and look["blocks"][0]["kind"] == "head"
    portal = SmallPortal()
    plain = InPlace(lambda: portal)
    plain.search("type:folder glacier")
    portal.preview = lambda catalog, id: {"kind": "text", "text": "# 1", "format": "text"}  # type: ignore[method-assign]
    assert plain.preview(key) == {"kind": "text", "text": "# 1"}
    told = {"kind": "text", "text": "# 1"}
    assert shown.preview(told) == {"kind": "text", "text": "# 1"}

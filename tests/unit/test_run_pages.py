"""The page of a result: shows what a notebook shows, and can do nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.notebooks import code, markdown, notebook
from tests.run_parts import lab_python
from vaas.lab.cleaning import MOST, cleaned

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.example/x.png'>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' jAvAsCrIpT:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<meta http-equiv='refresh' content='0;url=https://evil.example'>",
    "<base href='https://evil.example'><form action='https://evil.example'><input name=a></form>",
    "<style>body { background: url(https://evil.example) }</style>",
    "<p style='background: url(https://evil.example)'>x</p>",
    "<div onclick=alert(1) data-x='\"><script>alert(1)</script>'>x</div>",
    "<noscript><p title='</noscript><script>alert(1)</script>'></noscript>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<!--><script>alert(1)</script>-->",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "</main></body><script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</script>",
    "<link rel=stylesheet href=https://evil.example><object data=x></object><embed src=x>",
]


class Seen(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def check(text: str) -> None:
    """See that nothing of it acts or loads."""
    seen = Seen(text)
    assert not {"script", "iframe", "object", "embed", "form", "base", "link", "svg", "math", "input"} & set(seen.tags)
    for name, value in seen.attributes:
        assert not name.startswith("on") and name != "style"
        assert name != "src" or value.startswith("data:image/")
        assert name != "href" or re.match(r"https?://|mailto:|#", value)


@pytest.mark.attack
@pytest.mark.parametrize("text", HOSTILE)
def test_what_acts_is_not_on_the_page(text: str) -> None:
    made = cleaned(text)
    assert "<" not in re.sub(r"</?[a-z0-9]+(?: [a-z]+=\"[^\"<>]*\")*>", "", made)
    check(made)


def test_what_is_harmless_stays() -> None:
    table = '<table><thead><tr><th scope="col">a</th></tr></thead><tbody><tr><td>1 &lt; 2</td></tr></tbody></table>'
    assert cleaned(table) == table
    assert cleaned("<b>x<i>y</b>z") == "<b>x<i>y</i></b>z"
    assert 'href="https://example.org/?a=1&amp;b=2"' in cleaned('<a href="https://example.org/?a=1&b=2">x</a>')
    assert cleaned('<img src="data:image/png;base64,AAAA" alt="a">') == '<img src="data:image/png;base64,AAAA" alt="a">'


def test_too_much_of_it_is_left_out() -> None:
    assert "too large" in cleaned("<p>" * MOST)
    assert cleaned("<p>" * 100_000).count("</p>") == 100_000


def outputs(*each: dict[str, Any]) -> Any:
    return code("secret = 'not for all'", outputs=each)


def shown(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


@pytest.mark.app
def test_a_page_shows_what_the_notebook_shows(tmp_path: Any) -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    cells = [
        markdown("# Sea & *levels*\n\n| a |\n|---|\n| 1 |\n\n<script>alert(1)</script>\n\n```\ncode < 1\n```"),
        outputs({"output_type": "stream", "name": "stdout", "text": "\x1b[31mred\x1b[0m <b>plain</b>"}),
        outputs(shown({"image/png": "AAAA\n", "text/plain": "<Figure 'one'>"}), shown({"image/svg+xml": svg})),
        outputs(shown({"text/html": "<table><td>7</td></table><script>alert(1)</script>"})),
        outputs(shown({"text/html": "<div id=plot></div><script src='https://cdn.example/plotly.js'></script>"})),
        outputs(shown({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Slider()"})),
        outputs(shown({"application/javascript": "alert(1)", "text/plain": "js"}), shown({"text/latex": "$x<1$"})),
        outputs({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m: <v>"]}),
        outputs(*(shown({"text/html": each}) for each in HOSTILE)),
    ]
    (tmp_path / "a.ipynb").write_bytes(notebook(*cells))
    program = (
        "import nbformat, sys; from vaas.lab.pages import page_of; "
        "nb = nbformat.read(sys.argv[1], 4); print(page_of(nb, title='T <1>', error='E & F', ended='now'))"
    )
    command = [str(lab_python()), "-P", "-c", program, str(tmp_path / "a.ipynb")]
    page = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}).stdout
    for words in ("<title>T &lt;1&gt;</title>", "E &amp; F", "<em>levels</em>", "<td>1</td>", "<td>7</td>", "$x&lt;1$"):
        assert words in page, words
    assert page.count("This part is interactive") >= 2 and "&lt;b&gt;plain" in page and "ansi-red-fg" in page
    assert "not for all" not in page and page.count("data:image/") == 2
    head, _, body = page.partition("<main>")
    assert head.index("Content-Security-Policy") < head.index("<style>") and "default-src 'none'" in head
    # But for its own style, all of it is as harmless as its parts; and its addresses are its readers' to follow.
    check(re.sub(r' style="[a-z: ;#0-9-]*"', "", body))
    assert not re.search(r"(src|url)\s*[=(]\s*[\"']?https?:", page)
    assert json.dumps(page)

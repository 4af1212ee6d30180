"""Every page's template: it compiles, and it keeps the rules that the content security policy and visitors need."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
from jupyterhub._data import DATA_FILES_PATH

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "static"
FOLDERS = ("portal", "hub", "frame")
TEMPLATES = [path for folder in FOLDERS for path in sorted((ROOT / "templates" / folder).glob("*.html"))]
PAGES = [
    "app",
    "compare",
    "draft",
    "enter",
    "error",
    "facilities",
    "failed",
    "files",
    "gallery",
    "health",
    "launch",
    "launching",
    "logout",
    "notebook",
    "opening",
    "servers",
    "run",
    "run_new",
    "runs",
    "series",
    "settings",
    "share",
    "stores",
    "versions",
]


@functools.cache
def environment(folder: str) -> jinja2.Environment:
    """Return Jinja as the portal sets it up, with stand-ins for its filters."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([ROOT / "templates" / each for each in (folder, "frame")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters.update(ago=str, duration=str, size=str, subject_title=str, reach=str)
    return found


class Element:
    """A start tag: its name, its attributes, the form and the label around it."""

    def __init__(self, tag: str, attributes: dict[str, str], *, line: int) -> None:
        self.tag, self.attributes, self.line = tag, attributes, line
        self.form: Element | None = None
        self.in_label = False

    def __repr__(self) -> str:
        return f"<{self.tag} {self.attributes}> in line {self.line}"


class Elements(HTMLParser):
    """Collect the start tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Element] = []
        self._form: Element | None = None
        self._labels = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it, with what is around it."""
        element = Element(tag, {name: value or "" for name, value in attrs}, line=self.getpos()[0])
        self.found.append(element)
        if tag == "form":
            assert self._form is None, f"{element} is inside of another form"
            self._form = element
        self._labels += tag == "label"
        element.form, element.in_label = self._form, self._labels > 0

    def handle_endtag(self, tag: str) -> None:
        """Leave a form or a label."""
        if tag == "form":
            self._form = None
        self._labels -= tag == "label"


def elements(path: Path) -> list[Element]:
    """Return the start tags of a template; what Jinja writes becomes text without markup."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{\{\s*(m\.)?token\(\)\s*\}\}", '<input type="hidden" name="_xsrf">', text)
    text = re.sub(r"\{\{\s*same_files\(.*?\)\s*\}\}", '<input type="hidden" name="_xsrf">', text)
    text = re.sub(r"\{\{(.*?)\}\}", lambda match: "@" + re.sub(r"[^\w.]+", "-", match[1]).strip("-"), text)
    text = re.sub(r"\{%.*?%\}", " ", text, flags=re.DOTALL)
    parser = Elements()
    parser.feed(text)
    parser.close()
    return parser.found


def each(tag: str) -> Iterator[tuple[Path, Element]]:
    """Yield every element of that name in all templates."""
    for path in TEMPLATES:
        yield from ((path, element) for element in elements(path) if element.tag == tag)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_it_compiles(path: Path) -> None:
    environment(path.parent.name).get_template(path.name)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_of_the_portal_stands_in_the_one_frame(name: str) -> None:
    text = (ROOT / "templates" / "portal" / f"{name}.html").read_text(encoding="utf-8")
    assert text.startswith('{% extends "base.html" %}')


@pytest.mark.parametrize("page", sorted((ROOT / "templates" / "hub").glob("*.html")), ids=lambda path: path.stem)
def test_the_hubs_pages_stand_in_one_of_two_frames(page: Path) -> None:
    framed = r'\{%- extends "(vaas_base|page|error)\.html" -%\}'
    assert re.match(framed, page.read_text(encoding="utf-8")) or page.stem in {"vaas_base", "page"}


def test_the_hub_shows_no_page_of_its_own_look() -> None:
    stock = {path.name for path in (Path(DATA_FILES_PATH) / "templates").glob("*.html")}
    assert stock and stock <= {path.name for path in (ROOT / "templates" / "hub").glob("*.html")}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_scripts_and_styles_come_from_files_only(path: Path) -> None:
    for element in elements(path):
        assert element.tag != "style", element
        assert element.tag != "script" or element.attributes.get("src"), element
        bad = [name for name in element.attributes if name == "style" or name.startswith("on")]
        assert not bad, element
        assert not any(value.lower().startswith("javascript:") for value in element.attributes.values()), element


@pytest.mark.parametrize("path", [*TEMPLATES, *sorted(STATIC.rglob("*.*"))], ids=lambda path: path.name)
def test_nothing_is_loaded_from_another_site(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|[\"'(]//\w|@import", text)


def test_every_static_file_that_a_page_names_exists() -> None:
    named = set()
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'static\("([^"]+)"\)', text)) | set(re.findall(r'/static/([^"]+)"', text))
    missing = {name for name in named if not (STATIC / name).is_file()}
    assert named and not missing


def test_forms_that_change_something_carry_the_token() -> None:
    posts = [(path, form) for path, form in each("form") if form.attributes.get("method") == "post"]
    assert len(posts) > 15
    for path, form in posts:
        inside = [e for e in elements(path) if e.form and e.form.line == form.line and e.tag != "form"]
        names = {element.attributes.get("name") for element in inside}
        # A form with a ticket goes to an app, whose origin is foreign: our token must not go there.
        assert ("_xsrf" in names) != ("ticket" in names), f"{path.name}: {form}"


def test_every_form_says_how_it_sends() -> None:
    assert all(form.attributes.get("method") in {"get", "post"} for _, form in each("form"))


def test_every_picture_has_an_alternative() -> None:
    assert all("alt" in picture.attributes for _, picture in each("img"))


def test_every_frame_has_a_title_and_a_sandbox() -> None:
    frames = list(each("iframe"))
    assert frames
    assert all({"title", "sandbox"} <= frame.attributes.keys() for _, frame in frames)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_field_has_a_label(path: Path) -> None:
    found = elements(path)
    labelled = {
        element.attributes["for"] for element in found if element.tag == "label" and "for" in element.attributes
    }
    for element in found:
        hidden = element.attributes.get("type") in {"hidden", "submit"}
        if element.tag in {"input", "select", "textarea"} and not hidden and not element.in_label:
            assert element.attributes.get("id") in labelled, f"{path.name}: {element}"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_an_id_points_to_is_there(path: Path) -> None:
    found = elements(path)
    ids = {element.attributes.get("id") for element in found}
    for element in found:
        for name in ("for", "aria-labelledby", "list", "data-copy", "data-reveal"):
            wanted = element.attributes.get(name)
            assert wanted is None or set(wanted.split()) <= ids, f"{path.name}: {element}"


@pytest.mark.parametrize("name", [name for name in PAGES if name not in {"opening"}])
def test_every_page_has_at_most_one_first_heading(name: str) -> None:
    found = [e for e in elements(ROOT / "templates" / "portal" / f"{name}.html") if e.tag == "h1"]
    assert len(found) == 1


@pytest.mark.parametrize("frame", ["portal/base.html", "hub/page.html"])
def test_the_frame_has_landmarks_a_skip_link_and_a_language(frame: str) -> None:
    parts = (frame, "frame/_bar.html", "frame/_foot.html")
    found = [element for part in parts for element in elements(ROOT / "templates" / part)]
    tags = {element.tag for element in found}
    assert {"header", "nav", "main", "footer"} <= tags
    first = next(element for element in found if element.tag == "a")
    assert first.attributes["href"] == "#main"
    assert next(element for element in found if element.tag == "html").attributes["lang"] == "en"


def test_values_are_never_marked_safe_in_the_portal() -> None:
    for path in (ROOT / "templates" / "portal").glob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape", path.read_text(encoding="utf-8")), path.name


def test_the_macros_escape_what_they_are_given() -> None:
    source = '{% import "_macros.html" as m with context %}{{ m.trail([(text, "/")]) }}{{ m.avatar(text) }}'
    page = environment("portal").from_string(source).render(base="/", xsrf="", text="<b>&")
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;" in page


def test_a_report_without_keys_can_be_shown() -> None:
    source = '{% import "_report.html" as r with context %}{{ r.full(report) }}{{ r.badge(report) }}'
    page = environment("portal").from_string(source).render(base="/", xsrf="", report={})
    assert "It does not work yet" in page


@pytest.mark.parametrize(("cells", "said"), [(0, "Nothing of it was run."), (3, "Code cells run")])
def test_a_check_that_ran_nothing_has_no_figures(cells: int, said: str) -> None:
    source = '{% import "_report.html" as r with context %}{{ r.full(report) }}'
    report = {"cells": cells, "problems": [{"text": "Line 2 of requirements.txt asks for a folder."}]}
    page = environment("portal").from_string(source).render(base="/", xsrf="", report=report)
    assert said in page and ("Code cells run" in page) is bool(cells) and "Line 2" in page


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ([["sea"], ["sky"]], True),
        ([["sea"], []], False),
        ([()], False),
        ([["sea"], "closed"], True),
        (["closed"], False),
    ],
)
def test_where_every_environment_lacks_something_a_way_to_have_it_is_named(missing: list[Any], *, said: bool) -> None:
    lacking = [
        {"value": {"id": "e", "title": "E"}, "unread": (), "missing": (), "why_not": "It is not there."}
        if each == "closed"
        else {"value": {"id": "e", "title": "E"}, "unread": (), "missing": each, "why_not": ""}
        for each in missing
    ]
    place = {"facility": {"id": "here"}, "environments": lacking, "environment": "e"}
    source = '{% import "_places.html" as p with context %}{{ p.options(place, "environment", "Environment", {}) }}'
    page = environment("portal").from_string(source).render(base="/", xsrf="", place=place)
    assert ("a requirements.txt beside the notebook" in page) is said


def test_a_check_with_hints_is_told_apart_from_a_clean_one() -> None:
    source = '{% import "_report.html" as r with context %}{{ r.level(report) }}'
    template = environment("portal").from_string(source)
    clean = {"ok": True, "errors": [], "problems": [], "secrets": [], "missing_files": [], "addresses": []}
    secret = {"cell": 1, "line": 1, "kind": "key", "preview": "k…"}
    levels = [
        template.render(base="/", xsrf="", report=report).strip()
        for report in (clean, {**clean, "secrets": [secret]}, {**clean, "ok": False})
    ]
    assert levels == ["ok", "warn", "bad"]


@pytest.mark.parametrize(
    ("page", "forms"),
    [("share", "m.invite_forms("), ("basket", "m.circle("), ("run", "m.circle("), ("_macros", "{{ invite_forms(")],
)
def test_who_is_let_in_is_asked_by_the_same_forms(page: str, forms: str) -> None:
    text = (ROOT / "templates" / "portal" / f"{page}.html").read_text(encoding="utf-8")
    assert text.count(forms) == 1
    assert text.count("Add a person") == text.count("Add a group") == (1 if page == "_macros" else 0)


@pytest.mark.parametrize("access", [False, True])
@pytest.mark.parametrize("groups", [[], ["physics", '"<i>']])
def test_a_person_or_a_group_is_named_in_a_form_of_its_own(groups: list[str], *, access: bool) -> None:
    page = environment("portal").from_string(
        '{% import "_macros.html" as m with context %}'
        '{{ m.invite_forms("there", "share", "subject", wrong, ["ada"], groups, access=access) }}'
    )
    text = page.render(base="/", xsrf="token", wrong={"subject": "Nobody is called <b>."}, groups=groups, access=access)
    parser = Elements()
    parser.feed(text)
    forms = [element for element in parser.found if element.tag == "form"]
    assert len(forms) == 1 + bool(groups)
    for form, who in zip(forms, ("person", "group"), strict=False):
        sent = {e.attributes["name"]: e for e in parser.found if e.form is form and "name" in e.attributes}
        assert [sent[name].attributes["value"] for name in ("_xsrf", "do", "who")] == ["token", "share", who]
        assert ("access" in sent) is access and "subject" in sent
    ids = {element.attributes.get("id") for element in parser.found}
    assert {element.attributes["for"] for element in parser.found if element.tag == "label"} <= ids
    # What is wrong is said at the field, as text.
    assert 'aria-describedby=" f-subject-error"' in text and "&lt;b&gt;" in text
    assert '"<i>' not in text


def test_who_was_not_found_need_not_be_typed_again() -> None:
    page = environment("portal").from_string(
        '{% import "_macros.html" as m with context %}'
        '{{ m.invite_forms("there", "grant", "name", wrong, [], ["physics"], access=true) }}'
    )
    said = {"who": "person", "name": 'em"li', "access": "READ"}
    for wrong, kept in (({"name": "Nobody is called so."}, True), ({}, False)):
        text = page.render(base="/", xsrf="token", wrong=wrong, values=said)
        person, group = text.split("</form>")[:2]
        assert ('value="em&#34;li"' in person and 'value="READ" selected' in person) is kept
        assert "em&#34;li" not in group and 'value="VIEW" selected' in group

"""Apps in frames of other sites: of those that the operator named, and of no others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FrameLocator, expect

from e2e.outside import Outside, outside
from e2e.people import Person, Site
from tests.portal_fixture import RunningPortal, app_python

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[Outside, Outside]]:
    """Return two other sites: the first is allowed to show apps."""
    with outside() as friend, outside() as stranger:
        yield friend, stranger


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory, sites: tuple[Outside, Outside]) -> Iterator[RunningPortal]:
    """Return a portal whose operator named the first site."""
    said = {"VAAS_FRAME_ANCESTORS": sites[0].url}
    data = tmp_path_factory.mktemp("embedding") / "data"
    portal = RunningPortal(data, app_python=app_python(), environ=said).start()
    yield portal
    portal.stop()


@pytest.fixture(scope="module")
def public_app(embedding: RunningPortal, browser: Browser) -> Iterator[str]:
    """Return an app that anyone may open."""
    site = Site(embedding, browser)
    yield site.person("ada").publishes_waves(audience="everyone")
    site.close()


def _shown(there: Outside, visitor: Person, address: str) -> FrameLocator:
    there.pages["/"] = f'<h1>Lesson</h1><iframe src="{address}" width="900" height="600"></iframe>'
    visitor.page.goto(f"{there.url}/")
    return visitor.page.frame_locator("iframe")


def test_an_allowed_site_shows_a_public_app_with_a_moving_widget(
    embedding: RunningPortal, browser: Browser, public_app: str, sites: tuple[Outside, Outside]
) -> None:
    site = Site(embedding, browser)
    visitor = site.visitor()
    frame = _shown(sites[0], visitor, f"{embedding.url}apps/{public_app}/open")
    slider = frame.locator(".noUi-handle").first
    expect(slider).to_be_visible(timeout=60_000)
    slider.focus()
    for _ in range(3):
        visitor.page.keyboard.press("ArrowRight")
    expect(frame.get_by_text("waves: 4")).to_be_visible()
    cookies = [c for c in visitor.context.cookies() if "vaas-visit" in c.get("name", "")]
    assert [(c["secure"], c["sameSite"], bool(c.get("partitionKey"))) for c in cookies] == [(True, "None", True)]
    site.close()


def _refused(visitor: Person) -> None:
    """Wait until the browser has put its own page in the place of what may not be framed."""
    for _ in range(150):
        if any(frame.url.startswith("chrome-error:") for frame in visitor.page.frames):
            return
        visitor.page.wait_for_timeout(200)
    raise AssertionError(f"nothing was refused: {[frame.url for frame in visitor.page.frames]}")


@pytest.mark.attack
@pytest.mark.parametrize("page", ["apps/{}/open", "wake/{}", ""])
def test_a_site_that_is_not_allowed_shows_nothing_of_an_app(
    embedding: RunningPortal, browser: Browser, public_app: str, sites: tuple[Outside, Outside], page: str
) -> None:
    site = Site(embedding, browser)
    visitor = site.visitor()
    visitor.opens(public_app)
    app = visitor.page.url
    account = re.findall(r"app-[a-z0-9]{12}", app)[0]
    address = {"apps/{}/open": public_app, "wake/{}": account}.get(page)
    frame = _shown(sites[1], visitor, f"{embedding.url}{page.format(address)}" if address else app)
    _refused(visitor)
    expect(frame.locator(".noUi-handle, main")).to_have_count(0)
    assert not [each.url for each in visitor.page.frames if "localhost" in each.url]
    site.close()


@pytest.mark.attack
@pytest.mark.parametrize("page", ["", "apps/{}/", "login", "logout", "health", "api/apps"])
def test_an_allowed_site_frames_no_page_of_the_portal_but_the_door(
    embedding: RunningPortal, browser: Browser, public_app: str, sites: tuple[Outside, Outside], page: str
) -> None:
    site = Site(embedding, browser)
    visitor = site.visitor()
    frame = _shown(sites[0], visitor, f"{embedding.url}{page.format(public_app)}")
    _refused(visitor)
    expect(frame.locator("main")).to_have_count(0)
    assert not [each.url for each in visitor.page.frames if "localhost" in each.url]
    site.close()


@pytest.mark.attack
def test_an_allowed_site_frames_no_question_about_a_basket(
    embedding: RunningPortal, browser: Browser, sites: tuple[Outside, Outside]
) -> None:
    """Where a click could be meant for something else, nobody is asked; the door to the same app is shown there."""
    site = Site(embedding, browser)
    ada = site.person("ada")
    path = ada.keeps("takes.ipynb", "import vaas\nprint(len(vaas.basket()), 'things')")
    slug = ada.publishes(path, audience="everyone", title="Takes a basket")
    visitor = site.visitor()
    frame = _shown(sites[0], visitor, f"{embedding.url}apps/{slug}/open")
    expect(frame.get_by_text("0 things")).to_be_visible(timeout=60_000)
    frame = _shown(sites[0], visitor, f"{embedding.url}apps/{slug}/open?basket=current")
    _refused(visitor)
    expect(frame.locator("main")).to_have_count(0)
    assert not [each.url for each in visitor.page.frames if "localhost" in each.url]
    site.close()

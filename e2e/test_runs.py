"""Running a notebook by itself: from the form to the result, over a table, cancelled, and seen by nobody else."""

from __future__ import annotations

import re
import secrets

import pytest
from playwright.sync_api import expect

from e2e.people import PHONE, Person, Site
from tests.notebooks import code, markdown
from vaas.jobs import RESULT

pytestmark = pytest.mark.browser
#: A run starts a kernel, on a machine that may be busy.
SLOW = 90_000
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def keeps_waves(person: Person, *cells: object, parameters: str = "n: int = 3  # how many waves\nname = 'sea'") -> str:
    """Keep a notebook with parameters in the person's home, and return its path."""
    name = f"runs-{secrets.token_hex(3)}.ipynb"
    return person.keeps(name, markdown("# Waves by themselves"), code(parameters, tags=["parameters"]), *cells)


def starts(person: Person, path: str, **values: str) -> str:
    """Fill the form and start; return the run's address."""
    person.goes(f"files/home/{path}")
    person.page.get_by_role("link", name="Run with other values").click()
    for name, value in values.items():
        person.page.locator(f"[name='value.{name}']").fill(value)
    person.pictures("run-form")
    person.page.get_by_role("button", name="Start").click()
    person.page.wait_for_url(re.compile(r"/runs/[a-z0-9]{12}/$"))
    return person.page.url


def test_from_the_form_to_the_result(site: Site, ada: Person) -> None:
    path = keeps_waves(
        ada,
        "import time\nfor i in range(n):\n    print('wave', i, flush=True)\n    time.sleep(0.5)",
        "from IPython.display import HTML\nHTML(f'<h2>{n} waves of the {name}</h2>')",
    )
    starts(ada, path, n="16", name="north")
    expect(ada.page.get_by_text(re.compile(r"Cell \d of \d is running"))).to_be_visible(timeout=SLOW)
    ada.pictures("run-running")
    ada.page.get_by_role("button", name="Cancel").focus()
    expect(ada.page.locator(".run-state")).to_contain_text("Done", timeout=SLOW)
    expect(ada.page.get_by_role("main")).to_be_focused()  # the button is gone
    expect(ada.page.locator(".facts-values")).to_contain_text("north")
    result = ada.page.frame_locator("iframe")
    expect(result.get_by_text("16 waves of the north")).to_be_visible()
    ada.pictures("run-done")
    with ada.page.expect_download() as download:
        ada.page.get_by_role("link", name="Download as a page").click()
    assert "16 waves of the north" in download.value.path().read_text()
    ada.page.get_by_role("link", name="Executed notebook").click()
    expect(ada.page.get_by_role("heading", name=path, exact=True)).to_be_visible()
    ada.goes("")
    expect(ada.page.get_by_role("link", name=re.compile("My runs.* ended since you looked"))).to_be_visible()
    ada.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    ways = ada.page.get_by_role("navigation", name="Main").get_by_role("link")
    assert ways.all_inner_texts()[:4] == ["Gallery", "My files", "Basket", "My servers"]
    assert len({box["y"] for way in ways.all() if (box := way.bounding_box())}) == 1, "all in one line, on a phone too"
    ada.page.get_by_role("link", name=re.compile("^My runs")).click()
    ada.page.get_by_role("link", name="Waves by themselves").first.click()
    ada.page.get_by_role("link", name="Repeat with other values").click()
    expect(ada.page.locator("[name='value.name']")).to_have_value("north")
    ada.page.go_back()
    ada.page.get_by_role("button", name="Publish as an app").click()
    expect(ada.page.get_by_role("heading", name=re.compile("^Publish “"))).to_be_visible()


def test_a_result_is_shared_and_seen_and_no_longer(site: Site, ada: Person, sam: Person) -> None:
    path = keeps_waves(ada, "from IPython.display import HTML\nHTML(f'<h2>{n} waves</h2>')")
    address = starts(ada, path, n="4")
    share = ada.page.get_by_role("region", name="Share the result")
    expect(share).to_be_visible(timeout=SLOW)
    share.get_by_label("Add a person").fill("sma")
    share.get_by_label("Add a person").press("Enter")
    expect(ada.page.get_by_role("alert")).to_contain_text("Nobody here is called “sma”")
    share.get_by_label("Add a person").fill("sam")
    share.get_by_label("Add a person").press("Enter")
    expect(share.get_by_role("button", name="Remove sam")).to_be_visible()
    ada.pictures("run-shared")
    sam.page.goto(address)
    expect(sam.page.get_by_text("A result that ada shares with you")).to_be_visible()
    expect(sam.page.frame_locator("iframe").get_by_text("4 waves")).to_be_visible()
    sam.pictures("run-seen")
    with sam.page.expect_download() as download:
        sam.page.get_by_role("link", name="Download the notebook").click()
    assert "4 waves" in download.value.path().read_text()
    share.get_by_role("button", name="Remove sam").click()
    expect(share.get_by_role("button", name="Remove sam")).to_have_count(0)
    sam.page.goto(address)
    expect(sam.page.get_by_text("There is no such run.")).to_be_visible()


def test_a_table_with_a_wrong_row_starts_nothing_until_it_is_mended(site: Site, ada: Person) -> None:
    path = keeps_waves(ada, "if n == 2:\n    raise ValueError('two is odd')")
    ada.goes(f"runs/new?store=home&path={path}")
    ada.page.locator("label[for=how-table]").click()
    ada.page.get_by_label("Paste a table").fill("n,name\n1,one\nmany,two\n")
    ada.page.get_by_role("button", name="Start").click()
    expect(ada.page.get_by_text("Nothing was started: 1 thing is wrong in the table")).to_be_visible()
    expect(ada.page.get_by_text(re.compile("Row 3: .*many"))).to_be_visible()
    expect(ada.page.get_by_role("alert")).to_be_focused()
    ada.pictures("run-table-wrong")
    ada.page.get_by_label("Paste a table").fill("n\tname\n1\tone\n2\ttwo\n")
    ada.page.get_by_role("button", name="Check the table").click()
    expect(ada.page.get_by_text("2 rows are fine")).to_be_in_viewport()
    ada.page.get_by_role("button", name="Start").click()
    expect(ada.page.get_by_text("2 runs are in the queue.")).to_be_visible()
    expect(ada.page.get_by_text("1 done")).to_be_visible(timeout=SLOW)
    expect(ada.page.get_by_text("1 failed")).to_be_visible(timeout=SLOW)
    expect(ada.page.get_by_text(re.compile("two is odd"))).to_be_visible()
    ada.pictures("run-series")


def test_a_run_is_cancelled(site: Site, ada: Person) -> None:
    starts(ada, keeps_waves(ada, "import time\nprint('begun', flush=True)\ntime.sleep(600)"))
    expect(ada.page.locator("[data-run-log]")).to_contain_text("begun", timeout=SLOW)
    ada.page.get_by_role("button", name="Cancel").click()
    expect(ada.page.get_by_text("It was cancelled", exact=True)).to_be_visible(timeout=SLOW)
    ada.pictures("run-cancelled")


def test_a_schedule_is_made_and_stopped(site: Site, ada: Person) -> None:
    ada.goes(f"runs/new?store=home&path={keeps_waves(ada, 'n')}")
    ada.page.locator("label[for=how-schedule]").click()
    ada.page.get_by_label("Name of the run").fill("Every Friday")
    ada.page.get_by_label("On", exact=True).select_option("Friday")
    ada.page.get_by_role("button", name="Start").click()
    expect(ada.page.get_by_text(re.compile("Every Friday at 06:00 UTC, until"))).to_be_visible()
    ada.pictures("run-list")
    ada.page.get_by_role("button", name="Stop Every Friday").click()
    expect(ada.page.get_by_text("It is not repeated any more.")).to_be_visible()
    expect(ada.page.get_by_text(re.compile("Every Friday at 06:00"))).to_have_count(0)


@pytest.mark.attack
def test_what_a_notebook_says_is_text_everywhere(site: Site, ada: Person, sam: Person) -> None:
    path = keeps_waves(ada, "print(name)", "raise ValueError(name)")
    said: list[str] = []
    ada.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    here = starts(ada, path, name=HOSTILE)
    expect(ada.page.get_by_text("It did not work")).to_be_visible(timeout=SLOW)
    expect(ada.page.locator(".said-error")).to_contain_text(f"ValueError: {HOSTILE}")
    expect(ada.page.locator(".facts-values")).to_contain_text(HOSTILE)
    expect(ada.page.locator("[data-run-log]")).to_contain_text(HOSTILE)
    ada.pictures("run-failed")
    for page in ("", "runs/"):
        assert ada.page.locator("main script, main img[src=x]").count() == 0 and said == [], page
        ada.goes("runs/")
    run = here.rstrip("/").rpartition("/")[2]
    for part in ("", "events", "log", "result"):
        assert sam.goes(f"runs/{run}/{part}") == 404
    assert sam.goes(f"runs/new?again={run}") == 404


@pytest.mark.attack
def test_a_result_acts_neither_as_the_portal_nor_as_its_runner(site: Site, ada: Person) -> None:
    path = keeps_waves(ada, "1 + 1")
    here = starts(ada, path)
    expect(ada.page.locator(".run-state")).to_contain_text("Done", timeout=SLOW)
    # Whatever makes the page: what lies there in its place can be anything.
    (notebook,) = (site.portal.data / "homes" / "ada").glob(f"Runs/*/{path}")
    notebook.with_name(RESULT).write_text(
        "<h1 id=out>Foreign</h1><script>document.getElementById('out').textContent = 'It ran'</script>"
        "<form action='/services/vaas/logout' method=post><button>Press me</button></form>"
    )
    ada.page.reload()
    frame = ada.page.frames[1]
    expect(ada.page.frame_locator("iframe").get_by_text("Foreign")).to_be_visible()
    assert frame.evaluate("self.origin") == "null"
    ada.page.frame_locator("iframe").get_by_role("button").click()
    ada.page.goto(here)
    expect(ada.page.locator(".run-state")).to_contain_text("Done")
    with ada.page.expect_download():
        ada.page.evaluate("address => { location.href = address }", f"{here}result")
    # That its script was blocked is what is wanted; the page says so with each frame, and sometimes late.
    ada.page.goto("about:blank")
    ada.page.wait_for_timeout(500)
    site.complaints[:] = [each for each in site.complaints if "sandboxed" not in each]

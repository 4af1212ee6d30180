"""A cluster that does not do what is wanted, as people see it: a stopped queue, and a controller that is gone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.offered import offered
from e2e.people import Person, Site, watched
from tests.portal_fixture import RunningPortal, app_python, until
from tests.slurm import Cluster, a_person, site_config

pytestmark = [pytest.mark.browser, pytest.mark.hub, pytest.mark.slow]
OFFERED = offered('id = "cluster"\ntitle = "Wave cluster"\nkind = "slurm"')
STOPPED = "The queue is stopped; the job waits until it goes on."
_PATIENCE = 60_000


@pytest.fixture(scope="module")
def on_slurm(slurm: Cluster, slurm_person: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal all of whose launches and runs are jobs."""
    folder = tmp_path_factory.mktemp("on-slurm")
    (folder / "offered.toml").write_text(OFFERED)
    runs = slurm.folder / "seen-runs"
    runs.mkdir(mode=0o711, exist_ok=True)
    environ = slurm.environ | {
        "VAAS_FACILITIES": str(folder / "offered.toml"),
        "VAAS_SLURM_FOLDER": str(runs),
        "VAAS_SLURM_PREFIX": "runuser -u {owner} --",
    }
    with a_person(slurm.folder) as apps:
        portal = RunningPortal(folder / "data", app_python=app_python(), environ=environ)
        portal.configure(site_config(portal.settings, apps_as=apps))
        portal.configure("c.DemoAuthenticator.allow_all = True\n")
        try:
            yield portal.start()
        finally:
            portal.stop()
            slurm.end_all()


@pytest.fixture
def site(on_slurm: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return that portal as people see it; at the end no page may have complained in its console."""
    with watched(on_slurm, browser) as site:
        yield site


@pytest.fixture
def person(site: Site, slurm_person: str) -> Person:
    """Return somebody with an account on the cluster."""
    return site.person(slurm_person)


@pytest.fixture
def stopped(slurm: Cluster, slurm_person: str) -> Iterator[Cluster]:
    """Return the cluster with its queue stopped; at the end it runs, with nothing in it."""
    slurm.command("scontrol", "update", "PartitionName=main", "State=DOWN")
    yield slurm
    until(lambda: answers(slurm), seconds=20, what="the controller")
    slurm.command("scontrol", "update", "PartitionName=main", "State=UP")
    slurm.command("scancel", f"--user={slurm_person}")


def answers(cluster: Cluster) -> bool:
    """Tell whether the controller does."""
    with contextlib.suppress(AssertionError):
        return bool(cluster.command("scontrol", "ping"))
    return False


def presses(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name).first.click()


def test_a_launch_says_what_is_wrong_with_the_cluster_and_starts_when_it_is_mended(
    stopped: Cluster, person: Person
) -> None:
    page = person.page
    person.goes("apps/world-map/launch")
    presses(page, "Launch in JupyterLab")
    expect(page.get_by_role("status")).to_contain_text(STOPPED, timeout=_PATIENCE)
    expect(page.locator("[aria-current=step]")).to_have_text("Waiting in the queue")
    person.pictures("slurm-stopped")
    presses(page, "Cancel")
    expect(page.get_by_role("heading", name=re.compile("is stopped$"))).to_be_visible(timeout=_PATIENCE)
    until(lambda: stopped.jobs() == [], seconds=20, what="the job to go")
    stopped.stop_controller()
    try:
        presses(page, "Start it again")
        expect(page.get_by_role("heading", name=re.compile("did not start$"))).to_be_visible(timeout=_PATIENCE)
        expect(page.get_by_role("alert")).to_contain_text("The batch system does not take the job at the moment.")
        person.pictures("slurm-gone")
    finally:
        stopped.start_controller()
    # With its controller the cluster has forgotten that the queue was stopped.
    until(lambda: answers(stopped) and stopped.jobs() == [], seconds=20, what="the controller, without a job")
    presses(page, "Try again")
    page.wait_for_url(re.compile("/lab/tree/"), timeout=_PATIENCE)
    person.goes("servers")
    presses(page, "Stop")
    expect(page.locator("[data-launch]")).to_contain_text("Stopped")


def test_a_run_says_what_it_waits_for_and_is_cancelled_at_any_time(stopped: Cluster, person: Person) -> None:
    page = person.page
    person.keeps("tides.ipynb", "import time\ntime.sleep(600)")
    person.goes("runs/new?store=home&path=tides.ipynb")
    presses(page, "Start")
    expect(page.get_by_role("status")).to_contain_text(STOPPED, timeout=_PATIENCE)
    person.pictures("slurm-run-stopped")
    stopped.stop_controller()
    try:
        presses(page, "Cancel")
        said = "It is to be cancelled. The batch system does not answer."
        expect(page.locator("[data-run-text]")).to_contain_text(said, timeout=_PATIENCE)
        person.pictures("slurm-run-gone")
    finally:
        stopped.start_controller()
    expect(page.get_by_text("It was cancelled", exact=True)).to_be_visible(timeout=_PATIENCE)
    until(lambda: stopped.jobs() == [], seconds=20, what="no job")

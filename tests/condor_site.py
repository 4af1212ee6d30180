"""A portal whose servers are jobs of the tests' HTCondor, with the configuration that docs/jobs.md shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hub_service.condor_servers import CondorServers
from hub_service.settings import ROOT, Settings
from tests.condor import Pool
from tests.portal_fixture import RunningPortal, app_python
from tests.slurm import filled

__all__ = ["on_condor"]


def _site_config(settings: Settings, pool: Pool, *, apps_as: str) -> str:
    shown = (ROOT / "docs" / "jobs.md").read_text().partition("c = get_config()\n")[2].partition("```")[0]
    ours = {
        '"sudo -n -u {username} --preserve-env=CONDOR_CONFIG --"': repr(
            " ".join(pool.prefix).replace("{owner}", "{username}")
        ),
        '"4096M"': '"500M"',
    }
    shown = filled(shown, ours, settings, apps_as=apps_as)
    asks = " ".join((*pool.inside, CondorServers.batch_host_cmd.default_value))
    return (
        f"c = get_config()\n{shown}\nc.CondorServers.batch_host_cmd = {asks!r}\n"
        "c.BatchServers.listen = '127.0.0.1'\nc.CondorSpawner.startup_poll_interval = 0.5\n"
    )


@contextlib.contextmanager
def on_condor(pool: Pool, data: Path, *, apps_as: str) -> Iterator[RunningPortal]:
    """Start a portal whose servers are jobs there, and stop it at the end."""
    portal = RunningPortal(data, app_python=app_python(), environ=pool.environ)
    portal.configure(_site_config(portal.settings, pool, apps_as=apps_as))
    try:
        yield portal.start()
    finally:
        portal.stop()
        pool.end_all()

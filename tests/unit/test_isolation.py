"""Whether kernels are isolated: asked of the app environment, told by app servers, and never taken for granted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jupyterhub.spawner import Spawner
from traitlets.config import Config

from hub_service.hub_config import app_servers
from hub_service.isolation import KernelIsolation, probe, require, warning
from hub_service.settings import Settings
from tests.portal_parts import ADA, World
from tests.unit.test_handlers import client
from vaas.errors import Invalid
from vaas.model import Isolation, ServerName
from vaas.portal.servers import Heartbeat

APART, OPEN = Isolation(True), Isolation(False, "No bubblewrap.")


def app_python(folder: Path, script: str) -> Path:
    """Return a program that stands in for the Python of the app environment."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def settings(python: Path, **said: str) -> Settings:
    return Settings.from_environ({"VAAS_APP_PYTHON": str(python), "VAAS_DATA": str(python.parent / "data"), **said})


def says(folder: Path, value: object, *, code: int = 0) -> Path:
    return app_python(folder, f"cat <<'END'\n{json.dumps(value)}\nEND\nexit {code}")


def test_the_app_environment_says_that_they_are(tmp_path: Path) -> None:
    assert probe(settings(says(tmp_path, {"isolated": True, "why": ""})), {}) == APART


def test_it_says_why_they_are_not(tmp_path: Path) -> None:
    assert probe(settings(says(tmp_path, {"isolated": False, "why": "No bubblewrap."})), {}) == OPEN


def test_it_is_asked_with_what_app_servers_get_and_no_more(tmp_path: Path) -> None:
    python = app_python(tmp_path, """printf '{"isolated": false, "why": "%s"}' "$*; $(env | sort | tr '\\n"' ' .')" """)
    environ = {"PATH": "/usr/bin:/bin", "SECRET": "x", "VAAS_DATABASE_URL": "x", "VAAS_SANDBOX_PATHS": "/data"}
    why = probe(settings(python, VAAS_SANDBOX="required"), environ).why
    assert "-m vaas.runtime.sandbox;" in why
    assert "VAAS_SANDBOX=required" in why and "VAAS_SANDBOX_PATHS=/data" in why and "PATH=/usr/bin:/bin" in why
    assert "SECRET" not in why and "DATABASE" not in why


@pytest.mark.parametrize(
    "value",
    [None, [], 1, "yes", {}, {"isolated": True}, {"why": ""}, {"isolated": 1, "why": ""}]
    + [{"isolated": "true", "why": ""}, {"isolated": True, "why": None}, {"isolated": None, "why": None}],
)
def test_an_odd_answer_is_a_no_with_a_reason(tmp_path: Path, value: object) -> None:
    found = probe(settings(says(tmp_path, value)), {})
    assert not found.isolated and found.why


@pytest.mark.parametrize(
    "script", ["exit 1", "exit 0", "echo no", "kill -9 $$", "echo '{\"isolated\": true'", "printf '\\377'"]
)
def test_a_failure_is_a_no_with_a_reason(tmp_path: Path, script: str) -> None:
    found = probe(settings(app_python(tmp_path, script)), {})
    assert not found.isolated and found.why.endswith(".")


def test_a_yes_counts_only_if_it_ends_well(tmp_path: Path) -> None:
    assert not probe(settings(says(tmp_path, {"isolated": True, "why": ""}, code=1)), {}).isolated


def test_no_app_environment_is_a_no(tmp_path: Path) -> None:
    assert "cannot be started" in probe(settings(tmp_path / "none"), {}).why


def test_one_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    assert "took more than" in probe(settings(app_python(tmp_path, "exec sleep 60")), {}, seconds=0.3).why


def test_where_it_is_off_nothing_is_asked(tmp_path: Path) -> None:
    found = probe(settings(says(tmp_path, {"isolated": True, "why": ""}), VAAS_SANDBOX="off"), {})
    assert found == Isolation(False, "VAAS_SANDBOX is “off”.")


class TestRequired:
    """A site that runs nothing without."""

    def test_it_does_not_start_without(self, tmp_path: Path) -> None:
        without = settings(says(tmp_path, {"isolated": False, "why": "No bubblewrap."}), VAAS_SANDBOX="required")
        with pytest.raises(Invalid, match="VAAS_SANDBOX=required, and kernels would not be isolated here. No bubblew"):
            require(without, {})
        with pytest.raises(Invalid, match="VAAS_SANDBOX=required"):
            app_servers(Config(), without, {})

    def test_it_starts_with(self, tmp_path: Path) -> None:
        require(settings(says(tmp_path, {"isolated": True, "why": ""}), VAAS_SANDBOX="required"), {})

    def test_others_start_anyway(self, tmp_path: Path) -> None:
        python = says(tmp_path, {"isolated": False, "why": ""})
        require(settings(python), {})
        app_servers(Config(), settings(python, VAAS_SANDBOX="off"), {})

    def test_where_apps_run_elsewhere_this_machine_does_not_count(self, tmp_path: Path) -> None:
        class Elsewhere(Spawner):
            """A spawner that runs nothing here."""

            start = stop = poll = None  # type: ignore[assignment]

        config = Config()
        config.JupyterHub.spawner_class = Elsewhere
        app_servers(config, settings(tmp_path / "none", VAAS_SANDBOX="required"), {})
        assert config.AppServers.app_environment["VAAS_SANDBOX"] == "required"


def test_the_warning_says_why_and_what_to_do() -> None:
    assert warning(APART) == ""
    for found in (OPEN, Isolation(False, "bubblewrap is not installed: apt install bubblewrap")):
        said = warning(found)
        assert found.why in said and said.count("apt install bubblewrap") == 1 and "whom you trust" in said
    assert "apt" not in warning(Isolation(False, "VAAS_SANDBOX is “off”."))
    assert "permitted. It takes Linux" in warning(Isolation(False, "bwrap: Operation not permitted"))


class TestTogether:
    """What is known of this machine and of every server."""

    def known(self, world: World, python: Path, **said: str) -> KernelIsolation:
        found = KernelIsolation(settings(python, **said), world.portal.servers.isolation)
        found.look()
        return found

    async def test_one_server_that_says_no_is_enough(self, world: World, tmp_path: Path) -> None:
        app = await world.published(ADA)
        found = self.known(world, says(tmp_path, {"isolated": True, "why": ""}))
        assert found.holds and found.known and found.text.startswith("Kernels are isolated:")
        for told, holds in ((APART, True), (OPEN, False), (None, False), (APART, True), (OPEN, False)):
            await world.portal.servers.heartbeat(world.server(app, 1), Heartbeat((), 0.0, told))
            assert found.holds is holds
        assert found.details.endswith(f"app-{app.id}/v1: No bubblewrap.")
        assert "bubblewrap" not in found.text
        world.clock.forward(seconds=61)
        assert found.holds, "a server that is gone says nothing any more"

    async def test_this_machine_counts_where_apps_run_on_it(self, world: World, tmp_path: Path) -> None:
        python = says(tmp_path, {"isolated": False, "why": "No bubblewrap."})
        here = self.known(world, python)
        assert not here.holds and here.details.endswith("On this machine: No bubblewrap.")
        assert not here.look(), "nothing new"
        elsewhere = self.known(world, python, VAAS_LOCAL_APPS="0")
        assert elsewhere.holds and not elsewhere.known and "No app server has said" in elsewhere.text

    async def test_only_some_of_many_servers_are_named(self, world: World, tmp_path: Path) -> None:
        servers = {ServerName("app-0123456789ab", f"v{n}"): OPEN for n in range(1, 9)}
        found = KernelIsolation(settings(tmp_path), lambda: servers)
        assert found.details.count("No bubblewrap.") == 5 and found.details.endswith("and 3 more.")


@pytest.mark.parametrize("said", [None, 3, {}, {"sandbox": 1}, {"sandbox": "no"}, {"why": "x"}, [{"sandbox": False}]])
async def test_what_a_server_says_that_cannot_be_understood_is_nothing(world: World, site: str, said: object) -> None:
    app = await world.published(ADA)
    async with client(site, f"app-{app.id}:server=app-{app.id}/v1") as server:
        beat = {"visits": [], "idle_seconds": 0, "isolation": said}
        assert (await server.post("api/runtime/heartbeat", json=beat)).status_code == 200
        assert world.portal.servers.isolation() == {}


async def test_what_a_server_says_is_kept_clean_until_its_app_is_gone(world: World, site: str) -> None:
    app = await world.published(ADA)
    async with client(site, f"app-{app.id}:server=app-{app.id}/v1") as server:
        told = {"sandbox": False, "why": "a\n\u202eb" + "c" * 5000}
        beat = {"visits": [], "idle_seconds": 0, "isolation": told}
        await server.post("api/runtime/heartbeat", json=beat)
        (kept,) = world.portal.servers.isolation().values()
        assert not kept.isolated and kept.why.startswith("a bc") and len(kept.why) == 300
        with world.core.database.begin() as records:
            records.apps.remove(app.id)
        await server.post("api/runtime/heartbeat", json=beat)
        assert world.portal.servers.isolation() == {}

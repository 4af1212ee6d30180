"""``vaas doctor`` on portals of which something is really broken, and on one that is well."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub_service import control
from hub_service.checks import BAD, OK, WARN, Check, looked
from hub_service.doctor import _LOOKS, examine
from hub_service.doctor_case import Case
from hub_service.doctor_programs import mapped
from hub_service.doctor_variables import KNOWN
from hub_service.running import Note, Process, hold
from hub_service.settings import ROOT, Settings
from tests.mail import mailbox
from tests.portal_fixture import free_ports
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase

LOOKS = dict(_LOOKS)


def case(tmp_path: Path, **said: str) -> Case:
    """Return a portal with this said of it, and nothing of what this machine's says of its own."""
    environ = {"VAAS_DATA": str(tmp_path / "data"), "VAAS_DEMO": "1", "PATH": os.environ["PATH"], **said}
    return Case(Settings.from_environ(environ), environ)


def look(name: str, at: Case) -> Check:
    return looked(name, lambda: LOOKS[name](at))


def program(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def made(at: Case) -> Path:
    """Make the data folder as a portal would."""
    for name in ("logs", "run", "secrets"):
        (at.given.data / name).mkdir(mode=0o700, parents=True)
    at.given.data.chmod(0o700)
    (at.given.data / "vaas.json").write_text('{"format": 1}')
    (at.given.secrets / "seal").write_bytes(b"x" * 32)
    return at.given.data


def test_a_portal_that_is_not_there_yet_is_well_and_stays_untouched(tmp_path: Path) -> None:
    """With the real environments, from its own command."""
    (port,) = free_ports(1)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAAS_") or "PYTHON" in name}
    environ = {**kept, "VAAS_DATA": str(tmp_path / "data"), "VAAS_PORT": str(port), "VAAS_ENVIRONMENTS": "off"}
    command = [sys.executable, "-P", "-m", "hub_service.control", "doctor", "--json"]
    done = subprocess.run(command, env=environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240)
    said = json.loads(done.stdout)
    broken = [each for each in said["checks"] if each["state"] == BAD]
    assert (done.returncode, said["well"], broken) == (0, True, []), done.stderr
    assert [each["name"] for each in said["checks"]] == ["Settings", *LOOKS]
    assert not (tmp_path / "data").exists()


def test_what_is_broken_is_told_in_a_line_each_and_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAAS_PORT", "many")
    assert control.main(["doctor", "--data", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert told.startswith("bad   Settings") and "VAAS_PORT=many is no port" in told and "1 thing is broken." in told


def test_all_that_is_said_wrongly_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "facilities.toml"
    file.write_text('[[facility]]\nid = "X Y"\n')
    environ = case(tmp_path).environ | {"VAAS_FACILITIES": str(file), "VAAS_LIMIT_VISITS": "x", "VAAS_SMTP": "mail"}
    found, several = {}, examine(environ)
    for check in several:
        if check.state != BAD:
            break
        found[check.name] = check.text
    several.close()  # type: ignore[attr-defined]
    assert found.keys() >= {"Limits", "Facilities", "E-mail"}
    assert "line 1" in found["Facilities"] or "line 2" in found["Facilities"]
    assert "VAAS_LIMIT_VISITS=x" in found["Limits"] and "VAAS_SMTP is no address" in found["E-mail"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("c.JupyterHub.spawner_class = 'no.such.Spawner'", "cannot be imported"),
        ("c.JupyterHub.x = (", "SyntaxError"),
        ("raise SystemExit('not so')", "SystemExit: not so"),
    ],
)
def test_a_site_file_that_cannot_be_read_is_named_with_why(text: str, why: str, tmp_path: Path) -> None:
    site = tmp_path / "site.py"
    site.write_text(text)
    found = look("Hub's configuration", case(tmp_path, VAAS_SITE_CONFIG=str(site)))
    assert found.state == BAD and why in found.text
    alone = look("Hub's configuration", case(tmp_path, VAAS_SITE_CONFIG=str(site), VAAS_DEMO="0"))
    assert alone.state == BAD


def test_where_nobody_could_sign_in_it_is_said(tmp_path: Path) -> None:
    site = tmp_path / "site.py"
    site.write_text("c.JupyterHub.spawner_class = 'jupyterhub.spawner.SimpleLocalProcessSpawner'")
    found = look("Hub's configuration", case(tmp_path, VAAS_SITE_CONFIG=str(site), VAAS_DEMO="0"))
    assert found.state == BAD and "sets no c.JupyterHub.authenticator_class" in found.text
    assert "VAAS_SITE_CONFIG" in look("Hub's configuration", case(tmp_path, VAAS_DEMO="0")).text


@pytest.mark.parametrize("name", ["app", "lab"])
def test_an_environment_that_is_missing_broken_or_old_is_told_with_what_to_do(name: str, tmp_path: Path) -> None:
    title, variable = {"app": "App environment", "lab": "Launch environment"}[name], f"VAAS_{name.upper()}_PYTHON"
    missing = look(title, case(tmp_path, **{variable: str(tmp_path / "none")}))
    assert missing.state == BAD and "make up" in missing.text and variable in missing.text
    python = program(tmp_path / "python", "echo 'ModuleNotFoundError: No module named voila' >&2; exit 1")
    broken = look(title, case(tmp_path, **{variable: str(python)}))
    assert broken.state == BAD and "No module named voila" in broken.text
    old = program(tmp_path / "old", """echo '["3.11.7", "0.0.1", 5, 6]'""")
    assert look(title, case(tmp_path, **{variable: str(old)})) == Check(
        title, WARN, look(title, case(tmp_path, **{variable: str(old)})).text
    )
    assert "It has VaaS 0.0.1" in look(title, case(tmp_path, **{variable: str(old)})).text


def test_programs_that_are_missing_are_named(tmp_path: Path) -> None:
    assert "The proxy is not installed" in look("Proxy", case(tmp_path, VAAS_PROXY=str(tmp_path))).text
    script = tmp_path / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    program(script)
    old = program(tmp_path / "bin" / "node", "echo v12.0.0")
    found = look("Proxy", case(tmp_path, VAAS_PROXY=str(tmp_path), VAAS_NODE=str(old)))
    assert found.state == BAD and "Node.js 20 or later" in found.text
    packages = look("Own packages", case(tmp_path, PATH=str(tmp_path / "bin")))
    # Beside this Python there may be one.
    assert (packages.state == WARN and "no uv" in packages.text) or "uv" in packages.text
    assert look("Own packages", case(tmp_path, VAAS_ENVIRONMENTS="off")).state == OK


def test_a_package_index_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    uv = program(tmp_path / "bin" / "uv")
    said = {"VAAS_PACKAGE_INDEX": f"http://ada:secret@127.0.0.1:{port}/simple", "PATH": str(uv.parent)}
    found = look("Own packages", case(tmp_path, **said))
    assert found.state == WARN and f"127.0.0.1:{port}" in found.text and "secret" not in found.text


def test_without_bubblewrap_it_is_said_what_to_install(tmp_path: Path) -> None:
    python = program(tmp_path / "python", """echo '{"isolated": false, "why": "bubblewrap is not installed."}'""")
    at = {"VAAS_APP_PYTHON": str(python), "PATH": str(tmp_path)}
    weak, strict = (look("Isolation", case(tmp_path, VAAS_SANDBOX=wish, **at)) for wish in ("auto", "required"))
    assert (weak.state, strict.state) == (WARN, BAD) and "apt install bubblewrap" in weak.text


def test_mail_is_connected_to_and_none_is_sent(tmp_path: Path) -> None:
    def said(port: int) -> dict[str, str]:
        address = f"smtp://127.0.0.1:{port}"
        return {"VAAS_SMTP": address, "VAAS_SMTP_FROM": "portal@example.org", "VAAS_SMTP_TO": "*"}

    with mailbox() as box:
        assert look("E-mail", case(tmp_path, **said(box.port))) == Check("E-mail", OK, "127.0.0.1 takes e-mail.")
        assert box.letters == []
        port = box.port
    found = look("E-mail", case(tmp_path, **said(port)))
    assert found.state == BAD and f"127.0.0.1:{port} takes no e-mail" in found.text


def test_a_batch_system_is_asked_where_one_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("Slurm", case(tmp_path)).text == look("HTCondor", case(tmp_path)).text == "Not set up."
    spool, programs = tmp_path / "spool", tmp_path / "bin"
    spool.mkdir(mode=0o711)
    at = case(tmp_path, VAAS_SLURM_FOLDER=str(spool))
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    found = look("Slurm", at)
    assert found.state == BAD and found.text.startswith("sbatch, squeue, sacct, scancel cannot be found")
    for name in ("sbatch", "sacct", "scancel"):
        program(programs / name)
    program(programs / "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    found = look("Slurm", at)
    assert found.state == BAD and "Unable to contact slurm controller" in found.text
    assert "Check that its daemons run" in found.text and "SLURM_CONF" in found.text
    program(programs / "squeue")
    assert look("Slurm", at).state == OK
    assert look("Slurm", case(tmp_path, VAAS_SLURM_FOLDER=str(tmp_path / "none"))).state == BAD


def test_environments_and_facilities_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "facilities.toml"
    file.write_text(
        '[[size]]\nid = "s"\ntitle = "S"\ncores = 1\nmemory = "1 MB"\n'
        f'[[environment]]\nid = "e"\ntitle = "Ocean"\nkind = "python"\npath = "{tmp_path}/gone/python"\n'
        '[[facility]]\nid = "here"\ntitle = "Here"\nkind = "local"\nenvironments = ["e"]\nsizes = ["s"]\n'
    )
    lab = program(tmp_path / "lab")
    at = {"VAAS_FACILITIES": str(file), "VAAS_LAB_PYTHON": str(lab), "VAAS_SANDBOX": "off"}
    found = look("Facilities", case(tmp_path, **at))
    assert found.state == WARN and "“Ocean”: The program that it begins with is not there." in found.text
    cluster = '[[facility]]\nid = "c"\ntitle = "C"\nkind = "slurm"\nenvironments = ["e"]\nsizes = ["s"]\n'
    file.write_text(file.read_text() + cluster)
    both = look("Facilities", case(tmp_path, **at))
    assert "Facility “c” takes no jobs" in both.text and "“Ocean”: The program" in both.text
    nowhere = look("Facilities", case(tmp_path, **at | {"VAAS_LAB_PYTHON": "/gone"}))
    assert nowhere.state == WARN and "launch environment is missing" in nowhere.text


def test_users_that_a_container_does_not_have_are_missed() -> None:
    whole, rootless = "         0          0 4294967295\n", "0 1000 1\n1 100000 65536\n"
    assert mapped(2_013_265_920, 2_113_265_919, whole) and not mapped(2_013_265_920, 2_113_265_919, rootless)
    assert mapped(10, 20, rootless) and not mapped(65_000, 66_000, rootless)


def test_a_data_folder_that_is_well(tmp_path: Path) -> None:
    at = case(tmp_path)
    data = made(at)
    before = sorted(path.relative_to(data) for path in data.rglob("*"))
    assert [look(name, at).state for name in ("Data folder", "Disk", "Secrets", "Database", "Spool")] == [OK] * 5
    assert before == sorted(path.relative_to(data) for path in data.rglob("*"))
    data.chmod(0o755)
    found = look("Data folder", at)
    assert found.state == WARN and f"chmod 700 {data}" in found.text


@pytest.mark.parametrize(
    ("options", "why"), [("size=16k", "No space left on device"), ("size=1m,ro", "Read-only file system")]
)
def test_a_data_folder_that_is_full_or_cannot_be_written_is_broken(options: str, why: str, tmp_path: Path) -> None:
    data, private = tmp_path / "data", ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    data.mkdir()
    if shutil.which("unshare") is None or subprocess.run([*private, f'mount -t tmpfs tmpfs "{data}"']).returncode:
        pytest.skip("This machine lets nobody mount.")
    fill = f'mount -t tmpfs -o size=16k tmpfs "{data}" && mkdir "{data}/logs" && head -c 12k /dev/zero >"{data}/logs/x"'
    script = (
        f'{fill}; mount -o remount,{options} "{data}"; exec "{sys.executable}" -m hub_service.control doctor --json'
    )
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "VAAS_DATA": str(data), "VAAS_ENVIRONMENTS": "off"}
    quick = {f"VAAS_{name}_PYTHON": "/bin/false" for name in ("APP", "LAB")}
    done = subprocess.run([*private, script], env=kept | quick, capture_output=True, text=True, timeout=120)
    said = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1 and said["Data folder"]["state"] == said["Disk"]["state"] == BAD, done.stderr
    assert why in said["Data folder"]["text"] and str(data) in said["Data folder"]["text"]
    assert "Make room" in said["Disk"]["text"]


def test_a_folder_of_others_or_of_a_newer_vaas_is_refused(tmp_path: Path) -> None:
    at = case(tmp_path)
    (at.given.data / "thesis").mkdir(parents=True)
    assert "holds other things" in look("Data folder", at).text
    (at.given.data / "vaas.json").write_text('{"format": 99}')
    found = look("Data folder", at)
    assert found.state == BAD and "written by a newer VaaS" in found.text


def test_a_database_without_its_key_of_before_or_of_later_is_told(tmp_path: Path) -> None:
    at = case(tmp_path)
    data = made(at)
    file = data / "portal.sqlite"
    database = SqlDatabase(f"sqlite:///{file}", seal=Seal(bytes(32)))
    database.upgrade(to="0005")
    found = look("Database", at)
    assert found.state == WARN and "at 0005" in found.text
    assert database.revisions()[0] == "0005", "It was only to be looked at."
    database.upgrade()
    assert look("Database", at).state == OK
    with database._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    found = look("Database", at)
    assert found.state == BAD and "of a newer VaaS" in found.text
    (at.given.secrets / "seal").unlink()
    found = look("Secrets", at)
    assert found.state == BAD and "Restore it from a backup" in found.text
    for name in ("portal.sqlite-wal", "portal.sqlite-shm"):
        (data / name).unlink(missing_ok=True)
    file.write_bytes(b"no database at all" * 100)
    found = look("Database", at)
    assert found.state == BAD and "not a database" in found.text


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "is no address of a database"),
        ("nosuchsql://vaas:geheim@127.0.0.1/vaas", "is no address of a database"),
        ("postgresql+psycopg://vaas:ge:heim@127.0.0.1:geheim/vaas", "is no address of a database"),
        ("mysql+pymysql://vaas:geheim@127.0.0.1/vaas", "driver that is not installed: No module named 'pymysql'"),
        ("postgresql+psycopg://vaas:geheim@127.0.0.1:1/vaas", "Check that its server runs, and VAAS_DATABASE_URL."),
    ],
)
def test_a_database_that_cannot_be_had_is_told_by_doctor_and_up_without_its_password(
    url: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = look("Database", case(tmp_path, VAAS_DATABASE_URL=url))
    assert found.state == BAD and why in found.text and "geheim" not in found.text
    monkeypatch.setenv("VAAS_DATABASE_URL", url)
    (port,) = free_ports(1)
    assert control.main(["up", "--data", str(tmp_path / "data"), "--port", str(port)]) == 2
    told = capsys.readouterr()
    assert why in told.err and "geheim" not in told.err and "Starting" not in told.out


@contextmanager
def as_a_plain_user() -> Iterator[None]:
    """Root may open everything: be nobody for a moment."""
    if (me := os.geteuid()) != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_a_data_folder_of_another_account_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as others:  # the folders of pytest's own are closed to others
        Path(others).chmod(0o755)
        at = case(Path(others))
        data = made(at)
        data.chmod(0)
        # Who starts it has to see the programs that it is made of.
        seen = all(folder.stat().st_mode & 0o005 == 0o005 for folder in Path(control.__file__).parents)
        commands = ("status", "down", "up") if seen else ()
        elsewhere = case(Path("/proc/1"))
        with as_a_plain_user():
            found = look("Data folder", at)
            codes = [control.main([command, "--data", str(data)]) for command in commands]
            nowhere = look("Data folder", elsewhere)
        data.chmod(0o700)
    assert found.state == BAD and "Do this as the account that runs the portal" in found.text
    told = capsys.readouterr().err.splitlines()
    assert codes == [2] * len(commands) and len(told) == len(commands)
    assert all(str(data) in line and "Do this as the account that runs the portal" in line for line in told)
    assert nowhere.state == BAD and "may not write into /proc/1" in nowhere.text


def test_one_mistake_is_one_line_and_names_what_may_be_meant(tmp_path: Path) -> None:
    environ = case(tmp_path, VAAS_LIMIT_VIZITS="3", VAAS_RUN_NETWORK="maybe").environ
    several = examine({**environ, "VAAS_APP_PYTHON": "/gone", "VAAS_LAB_PYTHON": "/gone", "VAAS_ENVIRONMENTS": "off"})
    found = [check for check in several if "VIZITS" in check.text or "RUN_NETWORK" in check.text]
    assert [check.name for check in found] == ["Limits", "Runs"] and all(check.state == BAD for check in found)
    assert "Is it VAAS_LIMIT_VISITS" in found[0].text and "Write all or none" in found[1].text


def test_a_variable_that_nothing_reads_is_told_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    found = look("Variables", case(tmp_path, VAAS_NETWROK="none", VAAS_MOTTO="x", VAAS_LIMIT_VISITS="3"))
    assert found.state == WARN
    assert found.text == "Nothing reads VAAS_MOTTO. Nothing reads VAAS_NETWROK. Is it VAAS_NETWORK?"
    assert look("Variables", case(tmp_path, VAAS_NETWORK="none")).state == OK


def test_each_variable_of_the_documents_is_known() -> None:
    pages = "\n".join(page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
    named = set(re.findall(r"\bVAAS_[A-Z_]*[A-Z]\b", pages))
    assert len(named) > 50
    assert {name for name in named if not name.startswith("VAAS_LIMIT")} <= KNOWN


def test_a_spoiled_index_is_told_and_left_alone(tmp_path: Path) -> None:
    from vaas.catalogs.own import Index

    at = case(tmp_path)
    assert look("Search index", at).state == OK
    index = Index(at.given.data / "index", memory=15_000_000)
    index.close()
    assert look("Search index", at) == Check("Search index", OK, "It can be read: 0 entries.")
    (meta,) = (at.given.data / "index").glob("*/meta.json")
    meta.write_text("{")
    found = look("Search index", at)
    assert found.state == WARN and "vaas index" in found.text and meta.read_text() == "{"


def test_a_port_that_is_taken_is_told_with_another_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = look("Portal", case(tmp_path, VAAS_PORT=str(port)))
        assert found.state == BAD and f"Port {port} is in use" in found.text and "VAAS_PORT" in found.text
        (free,) = free_ports(1)
        inner = look("Portal", case(tmp_path, VAAS_PORT=str(free), VAAS_HUB_PORT=str(port)))
        assert inner.state == BAD and "VAAS_HUB_PORT" in inner.text


def test_a_portal_that_runs_and_does_not_answer_is_broken(tmp_path: Path) -> None:
    at = case(tmp_path)
    made(at)
    (port,) = free_ports(1)
    lock = hold(at.given.run)
    Note(Process(os.getpid(), 0.0), f"http://127.0.0.1:{port}/services/vaas/", {"public": port}).write(at.given.run)
    assert lock is not None
    try:
        found = look("Portal", at)
    finally:
        lock.close()
    assert found.state == BAD and "do not answer" in found.text and str(at.given.logs) in found.text


def test_every_look_has_a_name_of_its_own_and_says_something(tmp_path: Path) -> None:
    assert len(LOOKS) == len(_LOOKS)
    said: Mapping[str, Any] = {name: look(name, case(tmp_path)) for name in ("Disk", "System users", "Spool")}
    assert all(check.text.endswith(".") for check in said.values())

"""What HTCondor's numbers mean, and what stands in the description of a job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hub_service.clusters import htcondor_of, runs_folder
from hub_service.settings import Settings
from vaas.errors import Invalid
from vaas.executors.base import Job
from vaas.executors.clusters import Ref
from vaas.executors.htcondor import HtcondorExecutor, Pool, state_of
from vaas.launching import Environment, Size

FOLDER = Path("/srv/jobs")
EXECUTOR = HtcondorExecutor(Pool(FOLDER, Path("/opt/lab/python"), lines=("+Group = physics",)), Path("/srv/kept"))
JOB = Job("r1", "ada", "T", FOLDER / "r1", Environment("a", "A", "python", "/p"), Size("s", "S", 1.5, 3 << 30, 1, 60))


@pytest.mark.parametrize(
    ("status", "more", "state"),
    [
        (1, {}, "queued"),
        (2, {}, "running"),
        (6, {}, "running"),
        (7, {}, "running"),
        (3, {}, "cancelled"),
        (4, {"ExitCode": 0, "ExitBySignal": False}, "done"),
        (4, {"ExitCode": 1, "ExitBySignal": False}, "failed"),
        (4, {"ExitBySignal": True}, "failed"),
        (5, {"HoldReasonCode": 16}, "queued"),
        (5, {"HoldReasonCode": 1, "HoldReason": "via condor_hold\n(by user\u202e ada)"}, "queued"),
        (5, {"HoldReasonCode": 34}, "failed"),
        (5, {"HoldReasonCode": 3, "HoldReasonSubCode": 46}, "failed"),
        (5, {"HoldReasonCode": 21, "HoldReasonSubCode": 102}, "failed"),
        (5, {"HoldReasonCode": 21, "HoldReasonSubCode": 46}, "queued"),
    ],
)
def test_each_number_is_a_state(status: int, more: dict[str, object], state: str) -> None:
    found = state_of({"JobStatus": status, **more})
    assert found.state == state
    if "HoldReason" in more:
        assert found.message == "It is held back: via condor_hold (by user ada)"


def test_a_job_asks_for_its_size_and_is_begun_once() -> None:
    lines = EXECUTOR._described(JOB).splitlines()
    said = dict(line.split(" = ", 1) for line in lines if " = " in line)
    assert said["request_cpus"] == "2" and said["request_memory"] == "3072MB" and said["request_gpus"] == "1"
    assert said["periodic_hold"] == "JobStatus == 2 && time() - JobCurrentStartDate > 60"
    assert said["executable"] == "/srv/jobs/r1/start.sh"
    assert said["requirements"] == "NumJobStarts == 0" and said["+VaasJob"] == '"r1"' and said["getenv"] == "False"
    assert lines[-2:] == ["+Group = physics", "queue"]


@pytest.mark.attack
def test_no_path_and_no_name_of_a_variable_becomes_a_line_of_its_own() -> None:
    for name in ("a\nqueue 9", "$(x)", 'a"b'):
        with pytest.raises(Invalid):
            EXECUTOR._described(replace(JOB, folder=FOLDER / name))
    with pytest.raises(Invalid):
        EXECUTOR._script(replace(JOB, variables={"A;id": "1"}))
    assert "A='$(id)'" in EXECUTOR._script(replace(JOB, variables={"A": "$(id)"}))


@pytest.mark.parametrize("text", ["", "1", "1/ada", "x/ada/r1", "1/Ada/r1", "1/ada/../r1", "1/ada/r1\n", "1/-x/r1"])
def test_what_is_no_reference_names_no_job(text: str) -> None:
    assert Ref.read(text) is None
    assert str(Ref.read("17/ada/r1")) == "17/ada/r1"


def test_a_site_names_its_pool_by_variables_and_mistakes_are_told(tmp_path: Path) -> None:
    settings = replace(Settings.from_environ({}), data=tmp_path)
    assert htcondor_of(settings, {}) is None
    folder = tmp_path / "runs"
    folder.mkdir()
    folder.chmod(0o711)
    said = {"VAAS_HTCONDOR_FOLDER": str(folder), "VAAS_HTCONDOR_LINES": "+A = 1\n\n+B = 2"}
    made = htcondor_of(settings, said)
    assert made and made._lines == ("+A = 1", "+B = 2")
    assert runs_folder(settings, said) == folder
    for wrong, words in (
        ({"VAAS_HTCONDOR_LINES": "+A = 1"}, "VAAS_HTCONDOR_FOLDER is missing"),
        ({"VAAS_HTCONDOR_FOLDER": "runs"}, "VAAS_HTCONDOR_FOLDER=runs is no folder"),
        ({**said, "VAAS_HTCONDOR_PARTITION": "x"}, "VAAS_HTCONDOR_PARTITION is not known"),
    ):
        with pytest.raises(Invalid, match=words):
            htcondor_of(settings, wrong)
    with pytest.raises(Invalid, match="differ"):
        runs_folder(settings, {**said, "VAAS_SLURM_FOLDER": "/tmp"})

"""What the doctor looks at among programs: environments, the proxy, sandboxes, uv, batch systems, e-mail."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from hub_service.advice import advice
from hub_service.checks import BAD, OK, WARN, Check, environments
from hub_service.clusters import htcondor_of, slurm_of
from hub_service.doctor_case import Case, Look
from hub_service.environments import find_uv, makes_environments, package_index, way_to_index
from hub_service.facilities_file import declared
from hub_service.hub_config import spawner_of
from hub_service.isolation import probe, warning
from hub_service.needs import check_sign_in, find_proxy
from hub_service.offered import able, connected, lacking_here
from hub_service.post import post
from hub_service.probing import Probe, Probing
from hub_service.site import allowed_private, limits
from vaas import __version__
from vaas.errors import Invalid, Unavailable, VaasError
from vaas.executors.programs import answer_of
from vaas.portal import Core

__all__ = ["LOOKS", "mapped"]

#: Seconds that a program may take to say what it is, and another machine to answer.
_SECONDS, _AWAY = 60.0, 10.0
_PUBLIC_INDEX = "https://pypi.org/simple/"
_ASK_APPS = "import json, sys, ipykernel, voila, vaas; print(json.dumps([sys.version.split()[0], vaas.__version__]))"
_ASK_LAB = (
    "import json, sys, jupyterlab, nbclient, vaas.lab; from vaas.machine.bubblewrap import FIRST_UID, UIDS; "
    "print(json.dumps([sys.version.split()[0], vaas.__version__, FIRST_UID, UIDS]))"
)
#: What each batch system is asked by.
_SLURM = ("sbatch", "squeue", "sacct", "scancel")
_CONDOR = ("condor_submit", "condor_q", "condor_history", "condor_rm")
_QUEUE = ("condor_q", "-totals")
_LSM = Path("/sys/kernel/security/lsm")
_UID_MAP = Path("/proc/self/uid_map")


def _hub_configuration(case: Case) -> str:
    """Who can sign in, and whether the site's own file can be read."""
    check_sign_in(case.given)
    site = case.site
    if not case.given.demo and "authenticator_class" not in site.JupyterHub:
        raise Invalid(f"Nobody could sign in: {case.given.site_config} sets no c.JupyterHub.authenticator_class.")
    try:
        spawner = spawner_of(site)
    except (ImportError, AttributeError) as error:
        raise Invalid(f"The spawner cannot be imported: {error}. Install its package beside JupyterHub.") from error
    who = "the demo's people sign in" if "authenticator_class" not in site.JupyterHub else "the site's authenticator"
    return f"It can be read: {who}, and {spawner.__name__} starts servers."


def _asked(python: Path, question: str, *, name: str, variable: str) -> list[Any]:
    """Return what an environment says of itself. Raises Invalid, with what to do."""
    cure = f"Run “make up”, which installs it, or set {variable}."
    if not os.access(python, os.X_OK):
        raise Invalid(f"There is no {python}. {cure}")
    try:
        said = subprocess.run(
            [str(python), "-P", "-s", "-c", question],
            # It needs nothing that we know.
            env={"PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            cwd="/",
        )
        if said.returncode == 0:
            return list(json.loads(said.stdout.strip().splitlines()[-1]))
        why = (said.stderr.strip().splitlines() or [f"exit code {said.returncode}"])[-1]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        why = str(error)
    raise Invalid(f"{name} at {python} does not work: {why}. {cure}")


def _versions(said: Sequence[Any], name: str, what: str) -> Check | str:
    if said[1] != __version__:
        return Check(
            name, WARN, f"It has VaaS {said[1]}, and the portal is {__version__}. Run “make up”, which renews it."
        )
    return f"Python {said[0]} with {what}."


def _app_environment(case: Case) -> Check | str:
    if not case.settings.local_apps and not case.given.app_python.exists():
        return "App servers run on other machines, with what is installed there."
    said = _asked(case.given.app_python, _ASK_APPS, name="The app environment", variable="VAAS_APP_PYTHON")
    return _versions(said, "App environment", "Voilà")


def _lab_environment(case: Case) -> Check | str:
    if not case.settings.local_apps and not case.given.lab_python.exists():
        return "Launches run on other machines, with what is installed there."
    said = _asked(case.given.lab_python, _ASK_LAB, name="The launch environment", variable="VAAS_LAB_PYTHON")
    return _versions(said, "Launch environment", "JupyterLab")


def _proxy(case: Case) -> str:
    if case.given.proxy_inside:
        return "It is run elsewhere."
    return f"configurable-http-proxy on {find_proxy(case.given, case.environ)}."


def _isolation(case: Case) -> Check | str:
    if not case.settings.local_apps:
        return "App servers run on other machines, and say themselves whether kernels are isolated."
    if said := warning(probe(case.given, case.environ)):
        return Check("Isolation", BAD if case.given.sandbox == "required" else WARN, said)
    if lacking := lacking_here(case.settings, case.environ):
        return Check("Isolation", WARN, f"Kernels are isolated. {lacking}")
    if _LSM.is_file() and "landlock" not in _LSM.read_text():
        text = (
            "Kernels are isolated from the machine, and visits of one app less from each other: Linux has no Landlock."
        )
        return Check("Isolation", WARN, f"{text} Add it to the kernel's “lsm=” parameter.")
    return "Kernels are isolated: bubblewrap works."


def _packages(case: Case) -> Check | str:
    """Who makes environments of apps' own, and from where."""
    if not makes_environments(case.environ):
        return "Notebooks bring no packages of their own: VAAS_ENVIRONMENTS is “off”."
    if find_uv(case.environ) is None:
        text = "There is no uv, so that no notebook can bring packages of its own. Run “make up”, which installs it."
        return Check("Own packages", WARN, text)
    index = package_index(case.environ) or _PUBLIC_INDEX
    parts = urlsplit(index)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if why := _no_index(index, case.environ):
        text = (
            f"The package index {shown} does not answer as it should: {why}. Nobody can bring packages until it does."
        )
        return Check("Own packages", WARN, text)
    return f"uv takes packages from {shown}."


def _no_index(index: str, environ: Mapping[str, str]) -> str:
    """Return why the index cannot be used, "" where it answers."""
    parts = urlsplit(index)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(bare, method="HEAD")
    proxies = {
        name[: -len("_proxy")].lower(): url for name, url in way_to_index(environ).items() if "_proxy" in name.lower()
    }
    handlers: list[Any] = [urllib.request.ProxyHandler(proxies)]
    if parts.username is not None:
        words = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        words.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
        handlers.append(urllib.request.HTTPBasicAuthHandler(words))
    try:
        urllib.request.build_opener(*handlers).open(request, timeout=_AWAY).close()
    except urllib.error.HTTPError as error:
        # Some answer this question alone so; whoever else refuses means it.
        return "" if error.code in {404, 405, 501} else f"it says {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""


def _facilities(case: Case) -> Check | str:
    """What is offered, whether something leads there, and what is in the environments."""
    said = declared(case.given, allowed=allowed_private(case.environ)).offering
    can = able(case.settings, case.environ)
    missing = advice(said, can, case.settings).missing
    offering = connected(said, can)
    core = cast(Core, SimpleNamespace(offering=offering))
    seconds = limits(case.environ).probe_seconds
    probe = Probe(seconds=seconds, sandbox=case.given.sandbox, hidden=(case.given.data,))
    with tempfile.TemporaryDirectory(prefix="vaas-doctor-") as aside:
        asyncio.run(Probing(core, offering, Path(aside) / "probed.json", case.given.lab_python, probe).look())
    found = environments(core.offering.environments, "Facilities")
    places = ", ".join(f"“{each.title}”" for each in offering.facilities)
    if missing or found.state != OK:
        return Check("Facilities", WARN, " ".join([*missing, *([found.text] if found.state != OK else [])]))
    return f"{places}. Of the environments {found.text}"


def _slurm(case: Case) -> str:
    if slurm_of(case.given, case.environ) is None:
        return "Not set up."
    return _answer("Slurm", _SLURM, ["squeue", "-h"], config="SLURM_CONF")


def _condor(case: Case) -> str:
    known = htcondor_of(case.given, case.environ)
    return "Not set up." if known is None else _answer("HTCondor", _CONDOR, _QUEUE, config="CONDOR_CONFIG")


def _answer(name: str, programs: Sequence[str], question: Sequence[str], *, config: str) -> str:
    if lacking := [each for each in programs if shutil.which(each) is None]:
        raise Invalid(f"{', '.join(lacking)} cannot be found: install the client programs of {name}, or mend PATH.")
    try:
        asyncio.run(answer_of(question, seconds=_AWAY))
    except Unavailable as error:
        cure = f"Check that its daemons run, and that its configuration is found (as by {config})."
        raise Invalid(f"{name} does not answer: {error.log_message.rstrip('.')}. {cure}") from error
    return "Its programs are there, and it answers."


def _users(case: Case) -> Check | str:
    """Whether what people run can be given to system users that are nobody."""
    if os.geteuid() != 0:
        name = pwd.getpwuid(os.geteuid()).pw_name if _has_name(os.geteuid()) else str(os.geteuid())
        return f"The portal is not root: all that it starts here runs as {name}."
    try:
        said = _asked(case.given.lab_python, _ASK_LAB, name="The launch environment", variable="VAAS_LAB_PYTHON")
    except Invalid:
        return "Nothing is started here."
    first, last = int(said[2]), int(said[2]) + int(said[3]) - 1
    if taken := [each.pw_name for each in pwd.getpwall() if first <= each.pw_uid <= last]:
        text = f"Launches and jobs run as users {first} to {last}, of which the system knows {', '.join(taken[:5])}."
        return Check("System users", BAD, f"{text} Give these accounts other numbers.")
    if _UID_MAP.exists() and not mapped(first, last, _UID_MAP.read_text()):
        text = f"Users {first} to {last} are not there in this container, and launches and jobs run as these."
        return Check("System users", BAD, f"{text} Map them, or run the portal as somebody else than root.")
    return f"Launches and jobs run as users {first} to {last}, who are nobody else."


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def mapped(first: int, last: int, said: str) -> bool:
    """Tell whether the system has these users, by what it says: in a user namespace it may have few."""
    ranges = [tuple(map(int, line.split())) for line in said.splitlines()]
    return any(begin <= first and last < begin + length for begin, _, length in ranges)


def _mail(case: Case) -> str:
    known = post(case.environ)
    if known is None:
        return "Not set up: no e-mail is sent."
    try:
        known.look(seconds=_AWAY)
    except VaasError as error:
        raise Invalid(f"{error.log_message}. Check VAAS_SMTP.") from error
    return f"{known.host} takes e-mail."


LOOKS: tuple[tuple[str, Look], ...] = (
    ("Hub's configuration", _hub_configuration),
    ("App environment", _app_environment),
    ("Launch environment", _lab_environment),
    ("Proxy", _proxy),
    ("Isolation", _isolation),
    ("System users", _users),
    ("Own packages", _packages),
    ("Facilities", _facilities),
    ("Slurm", _slurm),
    ("HTCondor", _condor),
    ("E-mail", _mail),
)

"""What the doctor says of variables that nothing reads: one that is mistyped leaves things as they are by default."""

from __future__ import annotations

from difflib import get_close_matches

from hub_service.checks import OK, WARN, Check
from hub_service.doctor_case import Case

__all__ = ["KNOWN", "LOOKS"]

#: All that a site may set, and what is set for commands and tests. Those of limits are looked at by themselves.
KNOWN = frozenset(
    f"VAAS_{name}"
    for name in (
        *("ALLOWED_PRIVATE", "APP_PYTHON", "BIND", "CATALOGS", "CHROMIUM", "CONDOR_ROOT", "DATA", "DATABASE_URL"),
        *("DEMO", "DEMO_PASSWORD", "ENVIRONMENTS", "ENVIRONMENTS_FOLDER", "FACILITIES", "FRAME_ANCESTORS", "HOST"),
        *("HOSTED_PROXY", "HUB_PORT", "INDEX", "LAB_PYTHON", "LAUNCH", "LAUNCH_KINDS", "LOCAL_APPS", "NETWORK"),
        *("NODE", "PACKAGE_INDEX", "PICTURE_SOURCES", "PORT", "PORTAL_BIND", "PORTAL_INSIDE", "PORTAL_PORT"),
        *("PORTAL_PUBLIC_URL", "PORTAL_URL", "PROXY", "PROXY_INSIDE", "PROXY_PORT", "PUBLIC_URL", "RUN_NETWORK"),
        *("SANDBOX", "SANDBOX_PATHS", "SITE_CONFIG", "SMTP", "SMTP_FROM", "SMTP_TO", "TIME_ZONE", "TOKEN", "URL"),
        *("VISITOR", "HARVEST_SECONDS", "HARVEST_HERE", "HARVEST_FILES", "HARVEST_DEPTH", "HARVEST_PATIENCE"),
        "HARVEST_COPIED",
        *(f"SLURM_{name}" for name in ("FOLDER", "PREFIX", "GIVE", "PARTITION", "ACCOUNT", "QOS", "OPTIONS", "PYTHON")),
        *(f"HTCONDOR_{name}" for name in ("FOLDER", "PREFIX", "GIVE", "LINES", "PYTHON")),
    )
)


def _variables(case: Case) -> Check:
    """Whether something reads each variable that looks like ours."""
    ours = sorted(name for name in case.environ if name.startswith("VAAS_") and not name.startswith("VAAS_LIMIT_"))
    if unread := [name for name in ours if name not in KNOWN]:
        return Check("Variables", WARN, " ".join(map(_said, unread)))
    return Check("Variables", OK, f"{len(ours)} beginning with VAAS_, all of which are known.")


def _said(name: str) -> str:
    near = get_close_matches(name, sorted(KNOWN), n=1, cutoff=0.85)
    return f"Nothing reads {name}.{f' Is it {near[0]}?' if near else ''}"


LOOKS = (("Variables", _variables),)

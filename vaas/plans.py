"""Plans: what the portal lets the Hub start for a person, signed, so that nobody else's word about it counts.

The portal gives the person's own request a plan, in ``user_options``; the Hub's spawner starts what is in the plan and
ignores all else that the request says.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, dataclass

from vaas.errors import Forbidden
from vaas.launching import Environment, Size
from vaas.model import ServerName
from vaas.tickets import read_statement, sign_statement

__all__ = ["Plan", "read_plan", "sign_plan"]


@dataclass(frozen=True)
class Plan:
    """One statement: on this server may run this environment in this size, until ``expires`` (s since the epoch).

    Parameters
    ----------
    server:
        The path of the person's own server ("/user/ada/l…/").
    facility, kind:
        Where: the facility's id, and what it is.
    home:
        The folder of the person's home among the homes; "" where the facility has none of ours.
    shared:
        The folders under ``shared/`` that the person sees.
    profile:
        What the site's spawner calls the facility, such as a partition of Slurm; "" where it has no name of its own.
    """

    server: str
    expires: float
    facility: str
    kind: str
    environment: Environment
    size: Size
    home: str = ""
    shared: tuple[str, ...] = ()
    profile: str = ""


def sign_plan(plan: Plan, *, master: bytes) -> str:
    """Return the plan as a string that :func:`read_plan` accepts."""
    fields = asdict(plan)
    fields["environment"] |= {"packages": {}, "modules": {}}  # what is in it is not what is started
    return sign_statement(fields, key=_key(master, plan.server))


def read_plan(text: object, *, master: bytes, server: ServerName, now: float) -> Plan:
    """Return the plan that ``text`` holds.

    Raises
    ------
    Forbidden
        It is none, forged, expired, or for another server.
    """
    refused = Forbidden("Start it from the portal: it says what may run, and this does not come from there.")
    try:
        fields = read_statement(str(text), key=_key(master, server.path))
        made = {"environment": Environment(**fields["environment"]), "size": Size(**fields["size"])}
        plan = Plan(**{**fields, **made, "shared": tuple(fields["shared"])})
        fits = plan.server == server.path and now < plan.expires
    except (ValueError, TypeError, KeyError) as error:
        raise refused from error
    if not fits:
        raise refused
    return plan


def _key(master: bytes, server: str) -> bytes:
    return hmac.new(master, f"vaas-plan:{server}".encode(), hashlib.sha256).digest()

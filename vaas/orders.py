"""Orders: what the Hub tells a launcher to start, by one variable in which nothing is secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vaas.errors import Invalid
from vaas.launching import Environment, Size

__all__ = ["ENDS", "ORDER", "Order", "read_order", "write_order"]

#: The variable that holds it.
ORDER = "VAAS_LAUNCH"
#: The variable by which the launcher says inside when the launch ends: seconds since 1970; not there where it need not.
ENDS = "VAAS_LAUNCH_ENDS"


@dataclass(frozen=True)
class Order:
    """What is to be started for one launch.

    Parameters
    ----------
    kind:
        The facility's: on "local" a sandbox of our own keeps people apart; elsewhere the batch system or a container.
    environment:
        With ``where`` as it is on the machine where the kernels run.
    home:
        The folder that is the person's home; "" where they have one of their own already.
    shared:
        What else they may read: name → folder.
    """

    kind: str
    environment: Environment
    size: Size
    home: str = ""
    shared: Mapping[str, str] = field(default_factory=dict)

    @property
    def shared_root(self) -> str:
        """The folder in which all of these lie by their names, "" where there is none."""
        roots = {str(Path(folder).parent) if Path(folder).name == name else "" for name, folder in self.shared.items()}
        return roots.pop() if len(roots) == 1 else ""


def write_order(order: Order) -> str:
    """Return the order as :func:`read_order` takes it."""
    return json.dumps(asdict(order))


def read_order(text: str) -> Order:
    """Return the order. Raises Invalid when it is none."""
    try:
        fields = json.loads(text)
        made = {"environment": Environment(**fields["environment"]), "size": Size(**fields["size"])}
        return Order(**{**fields, **made})
    except (ValueError, TypeError, KeyError) as error:
        raise Invalid("This launch was not started by the Hub.") from error

"""What the doctor knows of the portal that it looks at: its settings, its site's own file, and whether it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from jupyterhub.spawner import LocalProcessSpawner
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from hub_service.checks import Check
from hub_service.hub_config import spawner_of
from hub_service.launches import launch_kinds
from hub_service.running import Note, is_held
from hub_service.settings import Settings
from hub_service.spawner import with_app_servers
from hub_service.wrapped import mixin_for
from vaas.errors import Invalid

__all__ = ["Case", "Look"]


@dataclass(frozen=True)
class Case:
    """One portal; ``wrong`` names what of its settings cannot be read, and is not looked at further."""

    given: Settings
    environ: Mapping[str, str]
    wrong: frozenset[str] = frozenset()

    @cached_property
    def site(self) -> Config:
        """What the site's own file sets.

        Raises
        ------
        Invalid
            It cannot be read.
        """
        path = self.given.site_config
        if path is None:
            return Config()
        try:
            return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
        except (Exception, SystemExit) as error:
            # The file is a program: whatever it raises is what is wrong with it.
            raise Invalid(f"{path} cannot be read: {type(error).__name__}: {error}") from error

    @cached_property
    def settings(self) -> Settings:
        """The settings as the Hub's configuration tells them to the portal."""
        try:
            chosen = spawner_of(self.site)
        except (Invalid, ImportError, AttributeError):
            return self.given  # which the look at the Hub's configuration tells
        spawner = with_app_servers(chosen, mixin_for(chosen))
        local = issubclass(spawner, LocalProcessSpawner)
        return replace(self.given, local_apps=local, launch_kinds=launch_kinds(spawner))

    @cached_property
    def note(self) -> Note | None:
        """What the supervisor noted, None while nothing runs."""
        run = self.given.run
        # A lock that cannot be opened is nobody's.
        return Note.read(run) if os.access(run / "lock", os.W_OK) and is_held(run) else None


#: Looks at one thing: returns what is well, or how it is. Raises VaasError or OSError for what is broken.
Look = Callable[[Case], Check | str]

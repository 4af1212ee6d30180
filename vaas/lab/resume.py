"""Go on where one was in an app: this file lies beside a launched copy of its notebook, as `_vaas_resume.py`.

A copy makes its widgets anew, so each value waits for its widget: the first slider called "Depth" here gets what the
first slider called "Depth" had in the app. Values are put in when the cell has run that made the widget, as if they had
been set on the page, so that what depends on them follows. It stands on the standard library alone, and does nothing
where there are no widgets.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["resume"]

#: What a widget's page says when somebody has set it, in this order (ipyvuetify).
_EVENTS = ("input", "change", "end")
#: What follows from another trait of the same widget, as the value from the index of a choice.
_FOLLOW = ("value", "label", "index")
#: Of widgets that make widgets there may be so many generations in one cell.
_ROUNDS = 10


def resume(path: str) -> None:
    """Have the widgets of this notebook get the values in the file at ``path``, and let it see the app's query."""
    asking = sys.modules.get("vaas.runtime.asking")
    if asking is not None and asking.in_app():
        return  # the copy was published, and has visitors of its own
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    if given.get("query"):
        os.environ["QUERY_STRING"] = given["query"]
    shell = _shell()
    if given.get("widgets") and shell is not None:
        shell.events.register("post_run_cell", _Resuming(given["widgets"]).look)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _widgets() -> dict[str, Any]:
    """Return all widgets that there are, by their id, in the order in which they were made."""
    module = sys.modules.get("ipywidgets.widgets.widget")
    found = getattr(module, "_instances", None)
    return dict(found if found is not None else getattr(getattr(module, "Widget", None), "widgets", {}))


class _Resuming:
    """The values that still wait for their widgets, and the widgets that have theirs."""

    def __init__(self, widgets: list[dict[str, Any]]) -> None:
        self._waiting: dict[tuple[str, str, str, int], dict[str, Any]] = {
            (each["module"], each["model"], each["name"], each["at"]): each["values"] for each in widgets
        }
        self._made: dict[tuple[str, str, str], int] = {}
        self._seen: set[str] = set(_widgets())
        self._placed: list[_Placed] = []

    def look(self, *_: Any) -> None:
        """Give to the widgets that the last cell made what waits for them, and tell who began to listen since."""
        for placed in list(self._placed):
            placed.tell()
            placed.say()
        for _round in range(_ROUNDS):
            found = self._found()
            # Twice: what one is set to may change what another can be, or is.
            for placed in found * 2:
                placed.put()
            for placed in found:
                placed.say()
            self._placed += found
            if not found:
                return

    def _found(self) -> list[_Placed]:
        found = []
        for id, widget in _widgets().items():
            if id in self._seen:
                continue
            self._seen.add(id)
            place = (str(widget._model_module), str(widget._model_name), _name(widget))
            at = self._made.get(place, 0)
            self._made[place] = at + 1
            values = self._waiting.pop((*place, at), None)
            if values is not None:
                found.append(_Placed(widget, values))
        return found


def _name(widget: Any) -> str:
    """Return what is written beside a widget."""
    words = (getattr(widget, name, None) for name in ("description", "label"))
    return next((word[:100] for word in words if isinstance(word, str) and word), "")


class _Placed:
    """A widget and what it is to have."""

    def __init__(self, widget: Any, values: dict[str, Any]) -> None:
        self._widget = widget
        self._values = {name: value for name, value in values.items() if name in widget.keys}
        #: Trait → how it changed; and whom that was told.
        self._changes: dict[str, Any] = {}
        self._told: list[Any] = []
        #: What could not be set, or be told, and may be later; and whether that was said.
        self._unset: Exception | None = None
        self._unheard: Exception | None = None
        self._said = False

    def put(self) -> None:
        """Set what is not as it is to be, as the page would."""
        self._unset = None
        for name, value in self._values.items():
            if not self._is(name, value):
                try:
                    self._set(name, value)
                except Exception as error:
                    if self._is(name, value):
                        self._unheard = error
                    else:
                        self._unset = error
        self._told = [listener for _, listener in self._listeners()]

    def tell(self) -> None:
        """Tell who began to listen since, and who could not hear it before: what they need may be there now."""
        told, again, self._unheard = self._told, self._unheard is not None, None
        if self._unset is not None:
            self.put()
        for call, listener in self._listeners():
            if again or not any(listener is each for each in told):
                try:
                    call()
                except Exception as error:
                    self._unheard = error
        self._told = [listener for _, listener in self._listeners()]

    def say(self) -> None:
        """Say once what could not be done yet."""
        error = self._unset or self._unheard
        if error is not None and not self._said:
            self._said = True
            name = _name(self._widget) or type(self._widget).__name__
            why = f"{type(error).__name__}: {error}"
            print(f"“{name}” is not as it was yet, and is tried again after each cell. {why}", file=sys.stderr)

    def _is(self, name: str, value: Any) -> bool:
        """Tell whether the widget's page has this value."""
        to_json = self._widget.trait_metadata(name, "to_json") or (lambda value, _: value)
        try:
            return bool(json.loads(json.dumps(to_json(getattr(self._widget, name), self._widget))) == value)
        except (TypeError, ValueError):
            return False

    def _set(self, name: str, value: Any) -> None:
        widget = self._widget
        if widget.traits()[name].read_only:
            return
        from_json = widget.trait_metadata(name, "from_json") or (lambda value, _: value)
        before = {each: getattr(widget, each) for each in (name, *_FOLLOW) if widget.has_trait(each)}
        try:
            setattr(widget, name, from_json(value, widget))
        finally:  # who listens may fail, and it is set all the same
            for each, old in before.items():
                new = getattr(widget, each)
                if new is not old:
                    change = {"owner": widget, "name": each, "old": old, "new": new, "type": "change"}
                    self._changes[each] = sys.modules["traitlets"].Bunch(change)
        for handler in self._event_handlers() if name == "v_model" else ():
            handler()

    def _listeners(self) -> list[tuple[Callable[[], Any], Any]]:
        """Return who listens to what has changed, and how each is told."""
        found: list[tuple[Callable[[], Any], Any]] = []
        notifiers = getattr(self._widget, "_trait_notifiers", {})
        for name, change in self._changes.items():
            for listener in notifiers.get(name, {}).get("change", []):
                if not hasattr(listener, "instance_init"):  # the class's own heard of it
                    found.append((_told(listener, change), listener))
        return found + [(handler, handler.listener) for handler in self._event_handlers()]

    def _event_handlers(self) -> list[_Handler]:
        """Return what waits for somebody to set the widget on its page, if it was set."""
        handlers = getattr(self._widget, "_event_handlers_map", None)
        if not isinstance(handlers, dict) or "v_model" not in self._changes:
            return []
        events = [each for event in _EVENTS for each in handlers if each.partition(".")[0] == event]
        return [_Handler(self._widget, event, listener) for event in events for listener in handlers[event].callbacks]


class _Handler:
    """One function that waits for an event of a page."""

    def __init__(self, widget: Any, event: str, listener: Callable[..., Any]) -> None:
        self._widget, self._event, self.listener = widget, event, listener

    def __call__(self) -> None:
        self.listener(self._widget, self._event, self._widget.v_model)


def _told(listener: Callable[[Any], Any], change: Any) -> Callable[[], Any]:
    return lambda: listener(change)

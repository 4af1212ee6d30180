"""What people keep of searching, in SQL: baskets and what lies in them, saved searches, requests for access."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from vaas.db import base, schema
from vaas.db.rows import SqlChanges, SqlRows
from vaas.errors import Conflict
from vaas.keeping import AccessRequest, Basket, SavedSearch, Thing
from vaas.model import Access, Visitor

__all__ = ["Baskets", "Requests", "Searches", "Things"]

#: Of what others share or ask for, nobody looks through more at once.
_MOST_SHARED, _MOST_WAITING = 200, 200


class Baskets(SqlRows, base.Baskets):
    """Baskets; who they are shared with is in a table of its own.

    What can be found is one with a name, so that is noted, first of all that is written (see :meth:`SqlRows._note`).
    """

    def get(self, basket_id: str) -> Basket | None:
        """Return the basket, or None."""
        found = self._found(schema.baskets.c.id == basket_id)
        return found[0] if found else None

    def current(self, owner: str) -> Basket | None:
        """Return the person's one without a name, or None."""
        t = schema.baskets
        found = self._found(sa.and_(t.c.owner == owner, t.c.name == ""))
        return found[0] if found else None

    def readable(self, owner: str, subjects: Collection[str]) -> list[Basket]:
        """Return the person's, by name, then those of others that are shared with one of the subjects."""
        t, shares = schema.baskets, schema.basket_shares
        shared = sa.select(shares.c.basket_id).where(shares.c.subject.in_(subjects))
        theirs = sa.and_(t.c.id.in_(shared), t.c.owner != owner)
        others = self._found(theirs, limit=_MOST_SHARED) if subjects else []
        found = self._found(t.c.owner == owner) + others
        return sorted(found, key=lambda each: (each.owner != owner, each.name.lower(), each.name, each.id))

    def _found(self, where: sa.ColumnElement[bool], *, limit: int | None = None) -> list[Basket]:
        t, shares = schema.baskets, schema.basket_shares
        rows = self._rows(sa.select(t).where(where).order_by(t.c.changed.desc(), t.c.id).limit(limit))
        named = sa.select(shares).where(shares.c.basket_id.in_([row["id"] for row in rows]))
        subjects: dict[str, list[str]] = {row["id"]: [] for row in rows}
        for share in self._rows(named.order_by(shares.c.subject)) if rows else ():
            subjects[share["basket_id"]].append(share["subject"])
        return [Basket(shared_with=tuple(subjects[row["id"]]), **row) for row in rows]

    def save(self, basket: Basket) -> None:
        """Add or replace it with its subjects; Conflict when the person has another of this name."""
        shares, row = schema.basket_shares, asdict(basket)
        subjects = row.pop("shared_with")
        if basket.name:
            SqlChanges(self._c).note("share", basket.id)
        try:
            self._put(schema.baskets, row)
        except IntegrityError as error:
            raise _taken("basket", basket.name) from error
        self._c.execute(sa.delete(shares).where(shares.c.basket_id == basket.id))
        if subjects:
            rows = [{"basket_id": basket.id, "subject": subject} for subject in dict.fromkeys(subjects)]
            self._c.execute(sa.insert(shares), rows)

    def remove(self, basket_id: str) -> None:
        """Remove it with the things in it; no-op when there is none."""
        if basket_id:
            SqlChanges(self._c).note("share", basket_id)
        self._c.execute(sa.delete(schema.baskets).where(schema.baskets.c.id == basket_id))


class Things(SqlRows, base.Things):
    """What lies in baskets."""

    def of(self, basket_id: str) -> list[Thing]:
        """Return the things in the basket, the last added first."""
        t = schema.things
        rows = self._rows(sa.select(t).where(t.c.basket_id == basket_id).order_by(t.c.added.desc(), t.c.id))
        return [Thing(**row) for row in rows]

    def counts(self, basket_ids: Collection[str]) -> Mapping[str, int]:
        """Return how many things are in each of these baskets that has some."""
        t = schema.things
        counted = sa.select(t.c.basket_id, sa.func.count()).where(t.c.basket_id.in_(basket_ids))
        return {row[0]: row[1] for row in self._c.execute(counted.group_by(t.c.basket_id))}

    def add(self, thing: Thing) -> None:
        """Add it; no-op when one of this id is there."""
        t = schema.things
        if self._rows(sa.select(t.c.id).where(t.c.id == thing.id)):
            return
        row = {**asdict(thing), "access": dict(thing.access), "shown": dict(thing.shown)}
        try:
            self._c.execute(sa.insert(t).values(**row))
        except IntegrityError as error:
            raise Conflict("This was added at the same moment. Look at the basket again.") from error

    def remove(self, basket_id: str, thing_id: str) -> None:
        """Remove it from the basket; no-op when it is not in there."""
        t = schema.things
        self._c.execute(sa.delete(t).where(t.c.basket_id == basket_id, t.c.id == thing_id))


class Searches(SqlRows, base.Searches):
    """The searches that people saved."""

    def of(self, owner: str) -> list[SavedSearch]:
        """Return the person's, by name."""
        t = schema.searches
        found = [SavedSearch(**row) for row in self._rows(sa.select(t).where(t.c.owner == owner))]
        return sorted(found, key=lambda each: (each.name.lower(), each.name))

    def save(self, search: SavedSearch) -> None:
        """Add or replace it; Conflict when the person has another of this name."""
        try:
            self._put(schema.searches, asdict(search))
        except IntegrityError as error:
            raise _taken("search", search.name) from error

    def remove(self, owner: str, search_id: str) -> None:
        """Remove it if it is this person's; no-op otherwise."""
        t = schema.searches
        self._c.execute(sa.delete(t).where(t.c.owner == owner, t.c.id == search_id))


class Requests(SqlRows, base.Requests):
    """What people ask for, and what was answered."""

    def get(self, request_id: str) -> AccessRequest | None:
        """Return the request, or None."""
        t = schema.requests
        found = self._rows(sa.select(t).where(t.c.id == request_id))
        return _request(found[0]) if found else None

    def of(self, who: str) -> list[AccessRequest]:
        """Return what the person asked for, the newest first."""
        t = schema.requests
        rows = self._rows(sa.select(t).where(t.c.who == who).order_by(t.c.created.desc(), t.c.id))
        return [_request(row) for row in rows]

    def to_answer(self, visitor: Visitor, *, now: datetime) -> list[AccessRequest]:
        """Return the open ones for apps that are the visitor's or that they hold WRITE on, the oldest first."""
        t, apps, g = schema.requests, schema.apps, schema.grants
        if visitor.user is None:
            return []
        granted = sa.select(g.c.app_id).where(
            g.c.subject.in_(visitor.subjects),
            g.c.access >= int(Access.WRITE),
            sa.or_(g.c.expires.is_(None), g.c.expires > now),
        )
        own = sa.select(apps.c.id).where(apps.c.owner == visitor.name)
        # Asked with every page: from the few apps of one person on, and by the index of the open ones alone.
        is_open = t.c.state == sa.literal_column("'open'")
        wanted = sa.select(t).where(is_open, t.c.app_id.in_(own.union(granted)))
        return [_request(row) for row in self._rows(wanted.order_by(t.c.created, t.c.id).limit(_MOST_WAITING))]

    def add(self, request: AccessRequest, *, keep: int) -> None:
        """Add it, and forget all but the person's ``keep`` newest that are answered; Conflict when one is open."""
        t = schema.requests
        answered = sa.select(t.c.id).where(t.c.who == request.who, t.c.state != "open")
        old = self._c.execute(answered.order_by(t.c.created.desc(), t.c.id).offset(keep)).scalars().all()
        if old:
            self._c.execute(sa.delete(t).where(t.c.id.in_(old)))
        try:
            self._c.execute(sa.insert(t).values(**{**asdict(request), "access": int(request.access)}))
        except IntegrityError as error:
            raise Conflict("You have asked already. Wait for the answer, or take the request back first.") from error

    def close(self, request: AccessRequest) -> bool:
        """Keep its state and who answered when; False, and nothing is changed, when it is not open any more."""
        t = schema.requests
        said = {"state": request.state, "answered_by": request.answered_by, "answered": request.answered}
        return bool(
            self._c.execute(sa.update(t).where(t.c.id == request.id, t.c.state == "open").values(said)).rowcount
        )


def _taken(what: str, name: str) -> Conflict:
    said = f"You have a {what} called “{name}” already. Choose another name." if name else "Try again."
    return Conflict(said, field="name")


def _request(row: Mapping[str, Any]) -> AccessRequest:
    return AccessRequest(**{**row, "access": Access(row["access"])})

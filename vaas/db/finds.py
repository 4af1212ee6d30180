"""What was found in the places where files are, in SQL; and which process does what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from vaas.db import base, schema
from vaas.db.rows import SqlChanges, SqlRows

__all__ = ["SqlFinds", "SqlLeases", "SqlWalks"]

_OLD = timedelta(days=7)


class SqlFinds(SqlRows, base.Finds):
    """What was found."""

    def some(self, keys: Collection[str]) -> list[base.Find]:
        """Return those with these keys, as far as there are any."""
        t = schema.finds
        return [_find(row) for part in self._parts(keys) for row in self._rows(sa.select(t).where(t.c.key.in_(part)))]

    def marks(self, place: str, below: str = "", *, deep: bool = True) -> dict[str, str]:
        """Return the marks of what was found in the place by path, or of what is at or below one path."""
        t = schema.finds
        top = f"{place}/{below}/" if below else f"{place}/"
        # By the primary key, of which what is below a path is one piece: "0" comes after "/".
        key = t.c.key if self._c.dialect.name == "sqlite" else t.c.key.collate("C")
        inside = sa.and_(key >= top, key < f"{top[:-1]}0")
        if not deep:
            inside = sa.and_(inside, t.c.key.not_like(f"{_escaped(top)}%/%", escape="!"))
        where = sa.or_(t.c.key == f"{place}/{below}", inside) if below else inside
        rows = self._c.execute(sa.select(t.c.path, t.c.mark).where(t.c.place == place, where)).all()
        return {path: mark for path, mark in rows}

    def count(self, place: str) -> int:
        """Return how much was found in the place."""
        t = schema.finds
        return int(self._c.execute(sa.select(sa.func.count()).where(t.c.place == place)).scalar_one())

    def save(self, finds: Collection[base.Find]) -> None:
        """Add them, or replace those of the same place and path."""
        SqlChanges(self._c).note("file", *(find.key for find in finds))
        self._put_all(schema.finds, [_row(find) for find in finds])

    def remove(self, place: str, paths: Iterable[str] | None = None) -> None:
        """Remove these of the place, or all with what is known of its folders."""
        t = schema.finds
        if paths is None:
            keys = list(self._c.execute(sa.select(t.c.key).where(t.c.place == place)).scalars())
        else:
            wanted = [f"{place}/{path}" for path in paths]
            found = (sa.select(t.c.key).where(t.c.key.in_(part)) for part in self._parts(wanted))
            keys = [key for each in found for key in self._c.execute(each).scalars()]
        SqlChanges(self._c).note("file", *keys)
        for part in self._parts(keys):
            self._c.execute(sa.delete(t).where(t.c.key.in_(part)))
        if paths is None:
            self._c.execute(sa.delete(schema.walks).where(schema.walks.c.place == place))

    def places(self) -> dict[str, int]:
        """Return of which places there is something, and how much."""
        t = schema.finds
        rows = self._c.execute(sa.select(t.c.place, sa.func.count()).group_by(t.c.place)).all()
        return {place: int(count) for place, count in rows}

    def noted(self, *, limit: int) -> list[tuple[str, str, str]]:
        """Return place, path and note of what could not be looked into, by place and path."""
        t = schema.finds
        some = sa.select(t.c.place, t.c.path, t.c.note).where(t.c.note != "").order_by(t.c.key).limit(limit)
        return [(place, path, note) for place, path, note in self._c.execute(some).all()]


class SqlWalks(SqlRows, base.Walks):
    """What the folders were like."""

    def of(self, place: str) -> dict[str, str]:
        """Return the etags of its folders by path."""
        t = schema.walks
        found = self._c.execute(sa.select(t.c.etags).where(t.c.place == place)).scalar()
        return dict(found or {})

    def save(self, place: str, etags: Mapping[str, str]) -> None:
        """Keep them instead of those before."""
        self._put(schema.walks, {"place": place, "etags": dict(etags)})


class SqlLeases(SqlRows, base.Leases):
    """Which process does what."""

    def take(self, lease: base.Lease, *, now: datetime) -> bool:
        """Take it, or go on holding it; False while another process holds it."""
        t = schema.leases
        # Of processes that died long ago.
        self._c.execute(sa.delete(t).where(t.c.until < now - _OLD))
        row = {"name": lease.name, "holder": lease.holder, "until": lease.until, "said": dict(lease.said)}
        free = sa.and_(t.c.name == lease.name, sa.or_(t.c.holder == lease.holder, t.c.until <= now))
        if self._c.execute(sa.update(t).where(free).values(**row)).rowcount:
            return True
        # Two that find none insert one after the other, and the second finds it there.
        self._c.execute(self._insert(t).values(**row).on_conflict_do_nothing(index_elements=["name"]))
        holder = self._c.execute(sa.select(t.c.holder).where(t.c.name == lease.name)).scalar()
        return bool(holder == lease.holder)

    def give_back(self, name: str, holder: str) -> None:
        """Let another process have it."""
        t = schema.leases
        self._c.execute(sa.delete(t).where(t.c.name == name, t.c.holder == holder))

    def all(self, beginning: str) -> list[base.Lease]:
        """Return those whose names begin so, over ones too, by name."""
        rows = self._rows(sa.select(schema.leases).order_by(schema.leases.c.name))
        return [base.Lease(**row) for row in rows if row["name"].startswith(beginning)]


def _escaped(text: str) -> str:
    """Return what stands for itself in a pattern, where "!" escapes."""
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return text


def _row(find: base.Find) -> dict[str, Any]:
    return {
        "key": find.key,
        "place": find.place,
        "path": find.path,
        "mark": find.mark,
        "size": find.size,
        "modified": find.modified,
        "kind": find.kind,
        "record": dict(find.record),
        "readers": sorted(find.readers),
        "seen": find.seen,
        "note": find.note,
    }


def _find(row: Mapping[str, Any]) -> base.Find:
    said = {name: value for name, value in row.items() if name not in {"key", "readers"}}
    return base.Find(readers=frozenset(row["readers"]), **said)

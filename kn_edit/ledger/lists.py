"""The lists of edits of versions, rebuilt from the changes and spans that are stored."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from threading import Lock

from sqlalchemy import Row, text

from kn_edit.canonical import short
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.parts import parts
from kn_edit.ledger.recipes import WIDTH, BadId, Recipe
from kn_edit.ledger.spans import MOST_HOPS, Effect, Hop, Outline, Span, Way, effect_of, joined
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import version_changes, version_spans, versions

# The way back from a version to the empty list: by the span of each version where it has one, else
# by its parent. The number of steps is bounded, so that a damaged ledger whose parents go round in
# a circle is not followed for ever.
_WAY = f"""
    WITH RECURSIVE way (id, next, depth) AS (
        SELECT v.id, CASE WHEN s.version_id IS NULL THEN v.parent_id ELSE s.ancestor_id END, 0
        FROM versions v
        LEFT JOIN version_spans s ON s.workspace_id = v.workspace_id AND s.version_id = v.id
        WHERE v.workspace_id = :workspace AND v.id = :version
        UNION ALL
        SELECT v.id, CASE WHEN s.version_id IS NULL THEN v.parent_id ELSE s.ancestor_id END,
            way.depth + 1
        FROM way JOIN versions v ON v.workspace_id = :workspace AND v.id = way.next
        LEFT JOIN version_spans s ON s.workspace_id = v.workspace_id AND s.version_id = v.id
        WHERE way.depth < {MOST_HOPS}
    )
"""
_WAY_BACK = text(
    f"""
    {_WAY}
    SELECT way.id, s.level, s.dropped, s.appended, c.edit_id, c.added, way.depth, c.position
    FROM way
    LEFT JOIN version_spans s ON s.workspace_id = :workspace AND s.version_id = way.id
    LEFT JOIN version_changes c
        ON c.workspace_id = :workspace AND c.version_id = way.id AND s.version_id IS NULL
    """
)
# The same without the ids, so that the spans are not read: their sizes stand in front of them.
_OUTLINES = text(
    f"""
    {_WAY}
    SELECT COALESCE(s.level, 0) AS level, CASE WHEN s.version_id IS NULL
        THEN (SELECT count(*) FROM version_changes c
            WHERE c.workspace_id = :workspace AND c.version_id = way.id)
        ELSE (length(s.dropped) + length(s.appended)) / {WIDTH} END AS size
    FROM way LEFT JOIN version_spans s ON s.workspace_id = :workspace AND s.version_id = way.id
    ORDER BY way.depth
    """
)
# From a version to one above it, by spans as far as they do not lead beyond that.
_SINCE = text(
    f"""
    WITH RECURSIVE way (id, next, spanned, step) AS (
        SELECT v.id, CASE WHEN up.depth >= :depth THEN s.ancestor_id ELSE v.parent_id END,
            CASE WHEN up.depth >= :depth THEN 1 ELSE 0 END, 0
        FROM versions v
        LEFT JOIN version_spans s ON s.workspace_id = v.workspace_id AND s.version_id = v.id
        LEFT JOIN versions up ON up.workspace_id = v.workspace_id AND up.id = s.ancestor_id
        WHERE v.workspace_id = :workspace AND v.id = :version
        UNION ALL
        SELECT v.id, CASE WHEN up.depth >= :depth THEN s.ancestor_id ELSE v.parent_id END,
            CASE WHEN up.depth >= :depth THEN 1 ELSE 0 END, way.step + 1
        FROM way JOIN versions v ON v.workspace_id = :workspace AND v.id = way.next
        LEFT JOIN version_spans s ON s.workspace_id = v.workspace_id AND s.version_id = v.id
        LEFT JOIN versions up ON up.workspace_id = v.workspace_id AND up.id = s.ancestor_id
        WHERE v.depth > :depth AND way.step < {MOST_HOPS}
    )
    SELECT way.id, way.next, s.level, s.dropped, s.appended, c.edit_id, c.added,
        way.step AS depth, c.position
    FROM way
    LEFT JOIN version_spans s
        ON s.workspace_id = :workspace AND s.version_id = way.id AND way.spanned = 1
    LEFT JOIN version_changes c
        ON c.workspace_id = :workspace AND c.version_id = way.id AND way.spanned = 0
    """
)
_KEPT = 4  # lists that are known to be those of their versions
_SHORT = 10_000 * WIDTH  # bytes of a list that is compared with its id whenever it is read

_proven: OrderedDict[tuple[str, str], Recipe] = OrderedDict()
_proving = Lock()


def read(connection: Connection, base: str, version: str) -> Recipe:
    """The edits of a version, in order. Raises DamagedRow where they are not those of its id."""
    return proven(base, version, list_of(way_back(connection, version)))


def looked_at(connection: Connection, base: str, version: str) -> Recipe:
    """The edits of a version, where single ones of them are looked for and none is listed.

    A long list is not compared with the id of its version then, which takes longer than reading
    it. Raises DamagedRow.
    """
    data = list_of(way_back(connection, version))
    return proven(base, version, data) if len(data) <= _SHORT else as_recipe(base, data)


def proven(base: str, version: str, data: bytes) -> Recipe:
    """The list of a version, packed, after comparing it with its id. Raises DamagedRow.

    The id is a sha256 over the list. A list that equals one that was compared before needs no
    other pass.
    """
    edits = as_recipe(base, data)
    if edits.version_id(base) != version:
        raise DamagedRow(f"the edits of version {short(version)} are not those of its id")
    remember(base, version, edits)
    return edits


def as_recipe(base: str, data: bytes) -> Recipe:
    """A packed list as a recipe; where one that was proven lately begins so, they share it."""
    with _proving:
        before = [recipe for (proven_base, _), recipe in _proven.items() if proven_base == base]
    shared = (recipe.beginning(data) for recipe in reversed(before))
    return next((recipe for recipe in shared if recipe is not None), Recipe.from_bytes(data))


def proven_before(base: str, version: str) -> Recipe | None:
    """The list of a version that was compared with its id lately, without reading it again."""
    with _proving:
        if (base, version) in _proven:
            _proven.move_to_end((base, version))
        return _proven.get((base, version))


def remember(base: str, version: str, edits: Recipe) -> None:
    """Keep a list that is that of its version for a while, so that it need not be hashed again."""
    key = base, version
    with _proving:
        _proven[key] = edits
        _proven.move_to_end(key)
        while len(_proven) > _KEPT:
            _proven.popitem(last=False)


def forget() -> None:
    """Forget which lists were compared with their ids."""
    with _proving:
        _proven.clear()


def way_back(connection: Connection, version: str) -> list[Hop]:
    """The steps that lead from a version to the empty list, newest first. Raises DamagedRow."""
    return _hops(version, connection.execute(_WAY_BACK, {"version": version}).all())


def effect_since(connection: Connection, version: str, ancestor: str) -> Effect | None:
    """What turns the list of a version above this one into that of this one.

    None where more steps lead there than are followed. Raises DamagedRow.
    """
    if version == ancestor:
        return Effect()
    depth = select(versions.c.depth).where(versions.c.id == ancestor)
    values = {"version": version, "depth": connection.execute(depth).scalar()}
    rows = connection.execute(_SINCE, values).all()
    if not rows or max(rows, key=lambda row: row.depth).next != ancestor:
        return None
    return joined(hop.effect for hop in _hops(version, rows))


def _hops(version: str, rows: Sequence[Row[tuple[object, ...]]]) -> list[Hop]:
    """The steps back from a version, newest first, of their rows. Raises DamagedRow."""
    try:
        # Not sorted by the query, which would copy every span to do so.
        rows = sorted(rows, key=lambda row: (row.depth, row.position or 0))
        return [_hop(id_, list(group)) for id_, group in groupby(rows, lambda row: row.id)]
    except (BadId, TypeError) as error:
        raise DamagedRow(
            f"the edits of version {short(version)} are not those of its id"
        ) from error


def outlines(connection: Connection, version: str) -> list[Outline]:
    """The steps that lead from a version to the empty list, without their ids, newest first.

    Raises DamagedRow.
    """
    rows = connection.execute(_OUTLINES, {"version": version}).all()
    if not all(isinstance(value, int) and value >= 0 for row in rows for value in row):
        raise DamagedRow(f"the spans above version {short(version)} are not those of kn-edit")
    return [Outline(level=row.level, size=row.size) for row in rows]


def list_of(hops: Sequence[Hop]) -> bytes:
    """The list that a way back leads to the empty one from, packed."""
    return joined(hop.effect for hop in hops).appended


def _hop(version: str, rows: Sequence[Row[tuple[object, ...]]]) -> Hop:
    first = rows[0]
    if first.level is None:
        steps = [(row.edit_id, bool(row.added)) for row in rows if row.edit_id is not None]
        return Hop(version, 0, effect_of(steps))
    return Hop(version, span_level(first.level), effect_in(first.dropped, first.appended))


def span_level(value: object) -> int:
    """The level of a stored span. Raises DamagedRow."""
    if not isinstance(value, int) or value < 1:
        raise DamagedRow("the level of a span is not a number from 1 on")
    return value


def effect_in(dropped: object, appended: object) -> Effect:
    """The effect of a stored span. Raises BadId, DamagedRow."""
    if not isinstance(dropped, bytes) or not isinstance(appended, bytes):
        raise DamagedRow("a span does not hold packed ids")
    if len(dropped) % WIDTH or len(appended) % WIDTH:
        raise BadId("the ids of a span are cut off")
    return Effect(dropped, appended)


def look_at_each(connection: Connection, base: str, ids: Collection[str]) -> dict[str, Recipe]:
    """The edits of several versions, as `looked_at` gives them. Raises DamagedRow.

    One that is stored as a change of another one of them needs no way back of its own.
    """
    parents = dict(parents_of(connection, ids))
    effects = own_effects(connection, parents)
    recipes: dict[str, Recipe] = {}
    for id_, parent in parents.items():
        before, effect = recipes.get(parent or ""), effects.get(id_, Effect())
        if before is None or effect is None:
            recipes[id_] = looked_at(connection, base, id_)
        else:
            recipes[id_] = effect.applied(before)
    return recipes


def each_recipe(connection: Connection) -> Iterator[tuple[str, Recipe | None]]:
    """Every version with its edits, by the changes alone; parents come before their children.

    None stands for a list that cannot be told, because some change before it names no edit.
    """
    effects = own_effects(connection)
    children = _children(connection)
    waiting: list[tuple[str, Recipe | None]] = [(root, Recipe()) for root in children[None]]
    while waiting:
        id_, before = waiting.pop()
        effect = effects.get(id_, Effect())
        edits = None if before is None or effect is None else effect.applied(before)
        yield id_, edits
        waiting += [(child, edits) for child in children[id_]]


def other_spans(connection: Connection) -> Iterator[tuple[str, str]]:
    """Versions whose span is not what their changes make of it, or that no list is read of; why."""
    spans = _spans(connection)
    effects = own_effects(connection)
    children = _children(connection)
    waiting: list[tuple[str, Way | None]] = [(root, None) for root in children[None]]
    while waiting:
        id_, way = waiting.pop()
        own_effect = effects.get(id_, Effect())
        if own_effect is None:
            continue  # its changes name no edits, which is reported of the version
        here = Way.on(Hop(id_, 0, own_effect), way)
        span = spans.get(id_)
        if span is not None:
            back = here.until(span.ancestor)
            if back is None or joined(hop.effect for hop in back) != span.effect:
                yield id_, "its span does not say what its changes do"
            else:
                here = Way.on(Hop(id_, span.level, span.effect), here.beyond(span.ancestor))
        if here.depth > MOST_HOPS:
            yield id_, "more steps lead to it than a list is read in"
            continue
        waiting += [(child, here) for child in children[id_]]


def parents_of(
    connection: Connection, ids: Collection[str] | None = None
) -> Iterator[tuple[str, str | None]]:
    """Versions with those that they are stored as changes of, in the order of their events."""
    query = select(versions.c.id, versions.c.parent_id).order_by(versions.c.seq, versions.c.id)
    for part in parts(query, versions.c.id, ids):
        for row in connection.execute(part):
            yield row.id, row.parent_id


def own_effects(
    connection: Connection, ids: Collection[str] | None = None
) -> dict[str, Effect | None]:
    """The changes of these versions, or of all; None where they name no edits."""
    order = (version_changes.c.version_id, version_changes.c.position)
    effects: dict[str, Effect | None] = {}
    for part in parts(select(version_changes).order_by(*order), version_changes.c.version_id, ids):
        for id_, rows in groupby(connection.execute(part), lambda row: row.version_id):
            try:
                effects[id_] = effect_of((row.edit_id, bool(row.added)) for row in rows)
            except BadId:
                effects[id_] = None
    return effects


def _children(connection: Connection) -> Mapping[str | None, list[str]]:
    children: dict[str | None, list[str]] = defaultdict(list)
    for id_, parent in parents_of(connection):
        if id_ is not None:  # only in a damaged ledger: it would be a child of itself
            children[parent].append(id_)
    return children


def _spans(connection: Connection) -> dict[str, Span]:
    """All stored spans. Raises DamagedRow."""
    spans: dict[str, Span] = {}
    for row in connection.execute(select(version_spans)):
        try:
            effect = effect_in(row.dropped, row.appended)
        except BadId as error:
            raise DamagedRow(
                f"the span of version {short(str(row.version_id))}: {error}"
            ) from error
        spans[row.version_id] = Span(span_level(row.level), row.ancestor_id, effect)
    return spans

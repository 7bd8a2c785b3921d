"""The difference between two JSON objects, as data: small where a long object changed a little.

A patch says nothing of what the objects mean, so one that was written by an older mbxai is applied
by a newer one just the same.

- An object's patch: `{"set": {key: value}, "in": {key: patch}, "del": [key, ...]}`, each part only
  where there is something in it.
- A list's patch: `[length, {index: patch}, [value, ...]]`: the list is cut to this length, some of
  its values are changed, others are appended.
- Any other change: `["=", value]`, only within lists.
"""

from typing import Any, Final, TypeAlias, cast

from mbxai.sessions._store import JSON

Patch: TypeAlias = Any  # Any: JSON, of the shapes above

_REPLACED: Final = "="


def difference(before: JSON, after: JSON) -> JSON:
    """Tell what changed.

    Args:
        before: A JSON object.
        after: Another one. What is the same object in both is not looked into.

    Returns:
        A patch; empty if nothing changed. It shares values with `after`.
    """
    changed: JSON = {}
    set_to: JSON = {}
    within: JSON = {}
    for key, value in after.items():
        if key not in before:
            set_to[key] = value
        elif (patch := _patch(before[key], value)) is not None:
            if _is_replacement(patch):
                set_to[key] = value
            else:
                within[key] = patch
    removed = [key for key in before if key not in after]
    for name, part in (("set", set_to), ("in", within), ("del", removed)):
        if part:
            changed[name] = part
    return changed


def patched(before: JSON, patch: JSON) -> JSON:
    """Apply a patch.

    Args:
        before: The object for which it was made; it is left as it is.
        patch: What `difference` gave.

    Returns:
        The object as it is afterwards. It shares what did not change with `before`.

    Raises:
        ValueError: The patch does not fit the object.
    """
    after = dict(before)
    try:
        for key in patch.get("del", ()):
            del after[key]
        for key, part in patch.get("in", {}).items():
            after[key] = _applied(after[key], part)
        after.update(patch.get("set", {}))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError("a patch does not fit what it is applied to") from error
    return after


def _patch(before: object, after: object) -> Patch | None:
    """Return a patch, `["=", value]` where a value takes another's place, None for no change."""
    if before is after:
        return None
    if isinstance(before, dict) and isinstance(after, dict):
        return difference(cast("JSON", before), cast("JSON", after)) or None
    if isinstance(before, list) and isinstance(after, list):
        return _list_patch(cast("list[object]", before), cast("list[object]", after))
    if before == after and _kind(cast("object", before)) == _kind(after):
        return None
    return [_REPLACED, after]


def _list_patch(before: list[object], after: list[object]) -> Patch | None:
    length = min(len(before), len(after))
    edits = {
        str(index): patch
        for index in range(length)
        if (patch := _patch(before[index], after[index])) is not None
    }
    if not edits and len(before) == len(after):
        return None
    if len(edits) * 2 > length and all(map(_is_replacement, edits.values())):
        return [_REPLACED, after]
    return [length, edits, after[length:]]


def _kind(value: object) -> tuple[bool, bool]:
    """What tells values apart that Python takes for equal: 1, 1.0 and True."""
    return isinstance(value, bool), isinstance(value, float)


def _is_replacement(patch: Patch) -> bool:
    return isinstance(patch, list) and len(cast("list[object]", patch)) == 2


def _applied(before: object, patch: Patch) -> object:
    if isinstance(patch, dict):
        return patched(cast("JSON", before), cast("JSON", patch))
    if _is_replacement(patch):
        return patch[1]
    length, edits, appended = patch
    values = list(cast("list[object]", before)[:length])
    for index, part in edits.items():
        values[int(index)] = _applied(values[int(index)], part)
    return [*values, *appended]

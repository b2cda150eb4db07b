"""Check a config against the schema, and say what is wrong with it in a person's words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nodeinit.config.origin import Origin, Path
from nodeinit.config.schema import misspelt, validator
from nodeinit.errors import Fault, nearest

if TYPE_CHECKING:
    from jsonschema import ValidationError

_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def check(data: Any, origin: Origin, definition: str | None = None) -> list[Fault]:
    """Every fault of plain data against the schema, or against one definition of it."""
    found: dict[tuple[str, str], Fault] = {}
    scalars: set[str] = set()
    for error in validator(definition).iter_errors(data):
        for fault in _faults(error, data, origin):
            if fault.where in scalars:
                continue  # one word on each value: what else it breaks follows from the first
            if not isinstance(error.instance, dict | list):
                scalars.add(fault.where)
            found.setdefault((fault.where, fault.problem), fault)
    return list(found.values())


def _faults(error: ValidationError, data: Any, origin: Origin) -> Iterator[Fault]:
    path, keyword = tuple(error.absolute_path), str(error.validator)
    value: Any = error.instance
    rule: Any = error.validator_value
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    problem = schema.get("x-problem", {}).get(keyword)
    remedy = schema.get("x-remedy", {}).get(keyword)
    if "propertyNames" in error.absolute_schema_path:
        named = _at(data, path).get(value)
        problem, remedy = problem or "is an empty name", remedy or _listed(value, schema, "write")
        yield origin.fault((*path, value), problem, remedy, named)
    elif keyword == "additionalProperties":
        yield from _unknown_keys(value, schema, origin, path)
    elif keyword in ("x-refuse-misspelt", "x-moved"):
        yield origin.fault(path, "is an unknown key", f"did you mean {error.message!r}?", value)
    elif keyword == "required":
        for name in rule:
            if name not in value:
                yield origin.fault((*path, name), "is missing", remedy)
    elif keyword == "dependentRequired":
        for name in rule:
            if name in value:
                yield origin.fault((*path, name), str(problem), remedy, value[name])
    elif keyword == "type":
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        problem = problem or f"is {_kind(value)}, not {_any_of(wanted)}"
        yield origin.fault(path, problem, remedy or _retyped(value, wanted), value)
    elif keyword == "enum":
        remedy = remedy or _listed(value, schema, "use")
        yield origin.fault(path, problem or "is not known here", remedy, value)
    elif keyword == "minLength":
        yield origin.fault(path, "is empty", "write some text, or remove the key", value)
    else:
        yield origin.fault(path, problem or f"breaks the rule {keyword!r}", remedy, value)


def _unknown_keys(
    value: Mapping[Any, Any], schema: Mapping[str, Any], origin: Origin, path: Path
) -> Iterator[Fault]:
    known, moved = list(schema["properties"]), schema.get("x-moved", {})
    if not path:
        known.extend(origin.short)
    for key in value:
        if key in known:
            continue
        # A file may also be that of Ray Serve, which has models under `applications`.
        candidates = known if path else [*known, "applications"]
        if key in moved:
            remedy = f"write it as {moved[key]}"
        elif meant := misspelt(str(key), candidates) or nearest(str(key), candidates):
            remedy = f"did you mean {meant!r}?"
        else:
            remedy = f"known here: {', '.join(known)}"
        yield origin.fault((*path, key), "is an unknown key", remedy, value[key])


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


def _kind(value: Any) -> str:
    if value is None:
        return "null (empty)"
    kinds = {bool: "a boolean", str: "text", int: "a whole number", float: "a fraction"}
    kinds |= {dict: "a mapping", list: "a list"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _any_of(wanted: list[str]) -> str:
    words = [_KINDS[name] for name in wanted if name != "null" or wanted == ["null"]]
    return " or ".join(words)


def _retyped(value: Any, wanted: list[str]) -> str:
    """How to write a value of a wrong type; never done here, since a guess may be wrong."""
    if isinstance(value, str):
        meant = _number(value)
        if meant is not None and ("integer" in wanted or "number" in wanted):
            return f"write {meant} without quotes"
        if "boolean" in wanted and value.lower() in ("true", "false", "yes", "no", "on", "off"):
            return "write true or false without quotes"
    elif "string" in wanted and isinstance(value, bool | int | float):
        return "put quotes around it"
    elif "integer" in wanted and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if value is None:
        return f"write {_any_of(wanted)}, or remove the key"
    return f"write {_any_of(wanted)}"


def _number(text: str) -> int | float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _listed(value: Any, schema: Mapping[str, Any], verb: str) -> str:
    """The name from a list that a value comes close to; the whole list when none is."""
    known = [name for name in schema.get("enum", ()) if isinstance(name, str)]
    word = str(value)
    same = next((name for name in known if name.lower() == word.lower()), None)
    within = [name for name in known if len(name) > 1 and name.lower() in word.lower()]
    meant = same or nearest(word, known) or max(within, key=len, default=None)
    if meant:
        return f"did you mean {meant!r}?"
    return f"{verb} one of {', '.join(known)}" if known else f"{verb} a name"

"""The JSON Schema of a config, and the validator that reads it.

`schema.json` says what a config may hold (Draft 2020-12). It is data: editors complete and check
YAML with it. Four of its keywords are ours, and other tools pass over them:

* `x-problem` and `x-remedy` map a keyword to the words that tell a person what is wrong and what to
  write instead;
* `x-refuse-misspelt` stands where a mapping is open (the engine's own arguments, say) and refuses
  keys that look like a misspelt known one: all named properties, or the listed ones;
* `x-moved` maps keys that people write in this place to where they belong.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SIMILAR = 0.85
"""How alike (difflib's ratio) a key must be to a known one to count as misspelt."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of everything that `LLMConfig.load` reads: a fresh copy."""
    from importlib import resources

    text = resources.files("nodeinit.config").joinpath("schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@functools.cache
def validator(definition: str | None = None) -> Validator:
    """The validator of the whole schema, or of one definition of its `$defs`.

    Stricter than JSON in one point: 2.0 is not an integer, since nothing here converts it to one.
    """
    # Here and not above: a config must be cheap to import, and jsonschema takes 0.1 s.
    from jsonschema import Draft202012Validator, validators

    kind: Any = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator,
        {"x-refuse-misspelt": _refuse_misspelt, "x-moved": _refuse_moved},
        type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
            {"integer": _is_integer, "number": _is_number}
        ),
    )
    schema = json_schema()
    if definition is not None:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    made: Validator = kind(schema)
    return made


def misspelt(key: str, known: list[str]) -> str | None:
    """The known key that an unknown one looks like, if it looks like one."""
    word = key.lower().replace("-", "_")
    if word in known:
        return word
    close = difflib.get_close_matches(word, known, n=1, cutoff=_SIMILAR)
    # Names that go on (`data_parallel_size_local`) are other names, not slips of the finger.
    return close[0] if close and abs(len(close[0]) - len(word)) <= 2 else None


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_checker: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse_misspelt(
    _validator: Any, guarded: bool | list[str], instance: Any, schema: Mapping[str, Any]
) -> Iterator[Exception]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    properties = schema["properties"]
    known = guarded if isinstance(guarded, list) else list(properties)
    for key, value in instance.items():
        if isinstance(key, str) and key not in properties and (meant := misspelt(key, known)):
            yield ValidationError(meant, path=[key], instance=value)


def _refuse_moved(
    _validator: Any, moved: dict[str, str], instance: Any, schema: Mapping[str, Any]
) -> Iterator[Exception]:
    from jsonschema import ValidationError

    # A closed mapping refuses the key anyway, and looks its place up in the same table.
    if not isinstance(instance, dict) or schema.get("additionalProperties") is False:
        return
    for key, place in moved.items():
        if key in instance:
            yield ValidationError(place, path=[key], instance=instance[key])

"""Read a YAML file into plain data, keeping the line and the text of every value.

PyYAML's safe loader decides what a scalar is. The tree is walked here, because PyYAML lets a second
key silently replace the first, forgets where values stood, and expands aliases without limit.
"""

from __future__ import annotations

import datetime
import math
import os
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.config.origin import Origin, Path
from nodeinit.errors import ConfigError, Fault

if TYPE_CHECKING:
    import yaml

DEEPEST = 64
"""How deep a config may be nested; every real one stays below ten."""
_MOST_VALUES = 100_000
"""How many values a config may hold when its aliases are written out."""


@attrs.frozen
class Document:
    """What a file holds, as dicts, lists and scalars, and the faults met while reading it."""

    data: Any
    origin: Origin
    faults: tuple[Fault, ...] = ()


def read_yaml(path: str | os.PathLike[str], within: str = "") -> Document:
    """Read one YAML document. `within` prefixes the places in its faults.

    Raises `ConfigError` for what leaves nothing to read: no such file, a directory, no UTF-8, no
    YAML. Faults beside which the rest can be read (a key given twice) are in the document.
    """
    source = os.fspath(path)
    return _Reader(source, within).read(_text(source, within))


def read_embedded(outer: Document, place: Path) -> Document:
    """Read the YAML that a text of another document is; its lines are those of the file.

    Raises `ConfigError` as `read_yaml` does, and where there is no such text.
    """
    text: Any = outer.data
    for key in place:
        text = text.get(key) if isinstance(text, dict) else None
    if not isinstance(text, str):
        fault = outer.origin.fault(place, "is missing, or is no text", "write a Serve config there")
        raise ConfigError(fault, source=outer.origin.source)
    reader = _Reader(outer.origin.source, f"{place[-1]}: ")
    found = reader.read(text)
    above = outer.origin.line(place) or 0
    reader.lines.update({path: line + above for path, line in reader.lines.items()})
    return attrs.evolve(
        found, faults=tuple(attrs.evolve(f, line=f.line and f.line + above) for f in found.faults)
    )


def _broken(
    source: str, within: str, problem: str, remedy: str | None, line: int | None = None
) -> ConfigError:
    return ConfigError(Fault(f"{within}file", problem, None, remedy, line), source=source)


def _text(source: str, within: str) -> str:
    try:
        raw = File(source).expanduser().read_bytes()
    except FileNotFoundError:
        here = "" if File(source).is_absolute() else f" (seen from {File.cwd()})"
        raise _broken(source, within, "does not exist", f"check the path{here}") from None
    except IsADirectoryError:
        raise _broken(source, within, "is a directory", "name the YAML file in it") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise _broken(source, within, f"cannot be read: {error}", "check the path") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _broken(source, within, "is not UTF-8 text", "save it as UTF-8", line) from None


class _Reader:
    def __init__(self, source: str, within: str) -> None:
        self.source = source
        self.within = within
        self.lines: dict[Path, int] = {}
        self.texts: dict[Path, str] = {}
        self.faults: list[Fault] = []
        self.origin = Origin(source, self.lines, self.texts, within)
        self.unfolded: set[int] = set()

    def read(self, text: str) -> Document:
        # Here and not above: importing a config must not import YAML.
        import yaml

        try:
            self.loader = yaml.SafeLoader(text)
            node = self.loader.get_single_node()
            if node is None:
                raise self.broken("is empty", "write an LLMConfig into it")
            data = self.value(node, ())
        except yaml.MarkedYAMLError as error:
            raise self.not_yaml(error) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            problem = f"is not valid YAML: it holds the character #x{error.character:04x}"
            raise self.broken(problem, "remove it", line) from None
        except RecursionError:
            raise self.broken("is nested too deep", f"stay below {DEEPEST} levels") from None
        return Document(data, self.origin, tuple(self.faults))

    def broken(self, problem: str, remedy: str | None, line: int | None = None) -> ConfigError:
        return _broken(self.source, self.within, problem, remedy, line)

    def not_yaml(self, error: yaml.MarkedYAMLError) -> ConfigError:
        mark = error.problem_mark or error.context_mark
        place = f" at column {mark.column + 1}" if mark else ""
        # The message only: the snippet that PyYAML would add may show a secret.
        told = ", ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else None
        return self.broken(f"is not valid YAML{place}: {told}", "correct the syntax", line)

    def value(self, node: yaml.Node, path: Path) -> Any:
        import yaml

        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > DEEPEST:
            raise self.broken(
                f"is nested too deep at {self.origin.where(path[:4])}",
                f"stay below {DEEPEST} levels (does an alias contain itself?)",
                node.start_mark.line + 1,
            )
        if len(self.lines) > _MOST_VALUES:
            raise self.broken("is too large", f"stay below {_MOST_VALUES} values, aliases included")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        kind = node.tag.rpartition(":")[2]
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self.mapping(node, path)
        return self.refused(path, f"has the tag {node.tag!r}", "use plain lists and mappings")

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[Any, Any]:
        import yaml

        first = id(node) not in self.unfolded  # else an alias of one that is merged already
        self.unfolded.add(id(node))
        if first:
            self.refuse_doubles(node, path)
            self.loader.flatten_mapping(node)
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.lines.setdefault(path, key_node.start_mark.line + 1)
                self.refused(path, "has a key that is a list or a mapping", "use text as the key")
                continue
            key = self.constructed(key_node, (*path, key_node.value))
            self.lines[*path, key] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*path, key))
        return found

    def refuse_doubles(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if not isinstance(key.value, str):
                continue
            line = key.start_mark.line + 1
            if (key.tag, key.value) not in seen:
                seen[key.tag, key.value] = line
                continue
            place, text = (*path, key.value), _as_written(value)
            second = Origin(self.source, {place: line}, {place: text}, self.within)
            problem = f"is given twice, first on line {seen[key.tag, key.value]}"
            self.faults.append(second.fault(place, problem, "keep one of the two", text))

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        self.texts[path] = _as_written(node)
        return self.constructed(node, path)

    def constructed(self, node: yaml.ScalarNode, path: Path) -> Any:
        import yaml

        try:
            value = self.loader.construct_object(node)
        except (ValueError, OverflowError) as error:
            return self.refused(path, f"cannot be read: {error}", "put quotes around it")
        except yaml.constructor.ConstructorError:
            return self.refused(path, f"has the unknown tag {node.tag!r}", "remove the tag")
        if isinstance(value, datetime.date):
            return self.refused(path, "is a date to YAML", "put quotes around it")
        if isinstance(value, bytes):
            return self.refused(path, "is binary data", "write it as text")
        if isinstance(value, float) and not math.isfinite(value):
            return self.refused(path, "is not a finite number", "write a number")
        return value

    def refused(self, path: Path, problem: str, remedy: str) -> None:
        text = self.texts.get(path, attrs.NOTHING)
        self.faults.append(self.origin.fault(path, problem, remedy, text))


def _as_written(node: Any) -> str:
    if not isinstance(node.value, str):
        return "…"
    return node.value if node.style is None else repr(node.value)

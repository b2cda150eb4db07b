"""Where the values of a config were written, so that a fault can point at them."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from nodeinit.errors import Fault
from nodeinit.redact import HIDDEN, is_secret, redact, redact_text

Path: TypeAlias = tuple[Any, ...]
"""The keys and indices that lead to a value: `("engine_kwargs", "tensor_parallel_size")`."""

_LONGEST = 80
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w-]*")
_SECRET_WORDS = ("token", "secret", "password", "credential", "apikey")


@attrs.frozen
class Origin:
    """The text that a config came from: a YAML file, or a call in Python.

    `lines` (1-based) and `texts` (scalars as they were written) are known for a file only. `within`
    names a file that another one refers to. In Python, `short` are the names that stand for a place
    deeper in a file, and `renamed` maps the places of those that were used to their names.
    """

    source: str
    lines: Mapping[Path, int] = attrs.field(factory=dict)
    texts: Mapping[Path, str] = attrs.field(factory=dict)
    within: str = ""
    short: tuple[str, ...] = ()
    renamed: Mapping[Path, str] = attrs.field(factory=dict)

    def fault(
        self, path: Path, problem: str, remedy: str | None = None, value: Any = attrs.NOTHING
    ) -> Fault:
        """A fault of the value at `path`; without `value`, of something that is missing there."""
        shown = None if value is attrs.NOTHING else self.shown(path, value)
        where = self.within + self.where(path)
        return Fault(where, problem, shown, remedy, self.line(path))

    def where(self, path: Path) -> str:
        """A path as a person writes it: `llm_configs[1].engine_kwargs.tensor_parallel_size`."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.renamed:
                return _joined(self.renamed[path[:length]], path[length:])
        return _joined("", path) or "config"

    def line(self, path: Path) -> int | None:
        """The line of a value, or of the nearest one around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def shown(self, path: Path, value: Any) -> str:
        """A value as it was written, short and without secrets."""
        if value is not None and any(_may_be_secret(key) for key in path):
            return HIDDEN
        text = self.texts.get(path)
        text = _text_of(redact(value)) if text is None else redact_text(text)
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _joined(text: str, path: Path) -> str:
    for key in path:
        if isinstance(key, str) and _PLAIN_NAME.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{_text_of(redact(key))}]"
    return text


def _text_of(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # a user's object, or a number with more digits than Python prints
        return f"<{type(value).__name__}>"


def _may_be_secret(key: Any) -> bool:
    """Also true of a misspelt name (`hf_tokn`): an unknown key may hold what it was meant for."""
    if not isinstance(key, str):
        return False
    words = re.findall(r"[a-z]+", key.lower())
    return is_secret(key) or any(
        difflib.SequenceMatcher(None, word, secret).ratio() > 0.85
        for word, secret in itertools.product(words, _SECRET_WORDS)
        if not secret.startswith(word) and not word.startswith(secret)
    )

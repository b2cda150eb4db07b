"""The code of a callback's class, and classes made of changed code, in memory alone.

A mutant lives in a module of its own that has all names of the real one: what a check patches there
(clocks, Ray) it patches for the mutant too, and the mutant can be pickled. No file is written.
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import inspect
import linecache
import marshal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec, make_callback
from nodeinit.errors import ConfigError, Fault


@attrs.frozen(eq=False)
class Source:
    """A class with its code. `path` is its file."""

    cls: type
    module: ModuleType
    tree: ast.ClassDef
    path: str
    flags: int

    @property
    def file(self) -> str:
        """The name of its file, as reports have it."""
        return Path(self.path).name

    def line(self, number: int) -> str:
        """A line of the file, without its indentation."""
        return linecache.getline(self.path, number).strip()

    def code(self, tree: ast.ClassDef) -> CodeType:
        """The compiled code of a class like this one."""
        module = ast.Module([tree], [])
        code: CodeType = compile(module, self.path, "exec", flags=self.flags, dont_inherit=True)
        return code


def source_of(callback: Any, kwargs: Any) -> Source:
    """The code of a callback: a class at the top level of a module, or its import path.

    Raises `ConfigError` for anything else, and where its source cannot be found.
    """
    spec = CallbackSpec(callback, dict(kwargs))
    cls = type(make_callback(spec)) if isinstance(callback, str) else callback
    if not inspect.isclass(cls):
        raise _cannot(spec.name, "is no class", "give the class itself")
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    if module is None or path is None or cls.__qualname__ != cls.__name__:
        raise _cannot(spec.name, "is not at the top level of a module", "move it there")
    try:
        whole = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise _cannot(spec.name, f"its source cannot be read: {error}", "give a .py file") from None
    for node in whole.body:
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            return Source(cls, module, node, path, _future(whole))
    raise _cannot(spec.name, f"is not defined in {Path(path).name}", "give the class itself")


@contextlib.contextmanager
def mutant(source: Source, code: CodeType) -> Iterator[Callable[..., Any]]:
    """A function that makes instances of a changed class, while its module is there."""
    name = f"{source.module.__name__}__mutant"
    module = ModuleType(name)
    vars(module).update(vars(source.module), __name__=name)
    sys.modules[name] = module
    try:
        exec(code, vars(module))
        cls = vars(module)[source.cls.__name__]

        def make(**kwargs: Any) -> Any:
            return cls(**kwargs)

        # The real module is the function's: what helpers in it see of the world is patched too.
        make.__module__, make.__qualname__ = source.module.__name__, source.cls.__qualname__
        yield make
    finally:
        del sys.modules[name]


def essence(code: CodeType) -> bytes:
    """What a piece of code does, whatever lines it stands on: alike for equivalent mutants."""
    return marshal.dumps(_stripped(code))


def _stripped(code: CodeType) -> CodeType:
    consts = tuple(_stripped(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=consts, co_firstlineno=1, co_linetable=b"", co_filename="")


def _future(tree: ast.Module) -> int:
    """The flags of `from __future__ import …`, which no class has by itself."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def _cannot(name: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError(Fault("callback", f"cannot be mutated: it {problem}", repr(name), remedy))

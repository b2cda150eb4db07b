"""Small changes of a class's code, each of which a check ought to mind."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from typing import Any

import attrs

Change = Callable[[Any], ast.AST | None]
"""Changes a node in place, or answers with another one to stand in its place."""

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
_DROPPED = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Raise, ast.Delete)


@attrs.frozen
class Place:
    """Where a change is made: the position of the node in `ast.walk`, what it is, and how."""

    index: int
    says: str
    change: Change


def places(tree: ast.ClassDef) -> Iterator[Place]:
    """Every change of a class, in the order of its lines; always the same for the same code."""
    functions = {
        id(child): node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    left_out = _annotations(tree)
    found = []
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in left_out:
            continue
        for says, change in _changes(node, functions.get(id(node))):
            line = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
            found.append((line, Place(index, says, change)))
    return (place for _, place in sorted(found, key=lambda item: item[0]))


def changed(tree: ast.ClassDef, place: Place) -> ast.ClassDef:
    """A copy of a class with one change."""
    copy: ast.ClassDef = ast.parse(ast.unparse(tree)).body[0]  # type: ignore[assignment]
    for old, new in zip(ast.walk(tree), ast.walk(copy), strict=True):
        ast.copy_location(new, old)
    nodes = list(ast.walk(copy))
    node = nodes[place.index]
    instead = place.change(node)
    if instead is not None:
        ast.copy_location(instead, node)
        _replace(copy, node, instead)
    return ast.fix_missing_locations(copy)


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                value[:] = [new if item is old else item for item in value]


def _annotations(tree: ast.ClassDef) -> set[int]:
    """What is no behaviour: annotations, decorators, docstrings, defaults of fields."""
    found: set[int] = set()
    for node in ast.walk(tree):
        roots: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            roots = [node.returns, *node.decorator_list]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            roots = [node.annotation]
        elif isinstance(node, ast.ClassDef):
            roots = [*node.bases, *node.decorator_list, *node.keywords]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            roots = [node]
        elif isinstance(node, ast.FormattedValue):
            roots = [node.format_spec]
        elif isinstance(node, ast.JoinedStr):
            roots = [part for part in node.values if isinstance(part, ast.Constant)]
        found |= {id(each) for root in roots if root is not None for each in ast.walk(root)}
    return found


def _changes(node: ast.AST, function: Any) -> Iterator[tuple[str, Change]]:
    """What can be changed at a node, with what to say of it."""
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            yield "negate the condition", _negate
        case ast.UnaryOp(op=ast.Not()):
            yield "drop the not", lambda it: it.operand
        case ast.Compare(ops=[op, *_]) if type(op) in _COMPARED:
            yield "compare otherwise", _compare
        case ast.BoolOp(op=ast.And()):
            yield "or instead of and", lambda it: _set(it, op=ast.Or())
        case ast.BoolOp(op=ast.Or()):
            yield "and instead of or", lambda it: _set(it, op=ast.And())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _COUNTED:
            yield "calculate otherwise", lambda it: _set(it, op=_COUNTED[type(it.op)]())
        case ast.Constant(value=bool()):
            yield "the opposite", lambda it: _set(it, value=not it.value)
        case ast.Constant(value=int() | float()):
            yield "one more", lambda it: _set(it, value=it.value + 1)
            yield "one less", lambda it: _set(it, value=it.value - 1)
        case ast.Constant(value=str(text)) if text:
            yield "an empty string", lambda it: _set(it, value="")
        case ast.Call() if _name(node.func) in ("evolve", "update", "set") and node.keywords:
            for n, keyword in enumerate(node.keywords):
                if keyword.arg is not None:
                    yield f"drop {keyword.arg}=", functools.partial(_without, n)
        case ast.Return(value=value) if value is not None:
            yield from _returns(function)
    if isinstance(node, _DROPPED) and function is not None:
        yield "drop the statement", lambda _: ast.Pass()


def _returns(function: Any) -> Iterator[tuple[str, Change]]:
    arguments = [argument.arg for argument in function.args.args] if function is not None else []
    if function is not None and function.name.startswith("on_") and len(arguments) > 1:
        ctx = arguments[1]
        unchanged = ast.Name(ctx, ast.Load())
        yield f"return {ctx} unchanged", lambda it: _set(it, value=unchanged)
    else:
        yield "return nothing", lambda it: _set(it, value=ast.Constant(None))


def _without(number: int, call: ast.Call) -> None:
    del call.keywords[number]


def _negate(node: Any) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _compare(node: ast.Compare) -> None:
    node.ops[0] = _COMPARED[type(node.ops[0])]()


def _set(node: ast.AST, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(node, name, value)


def _name(function: ast.AST) -> str:
    return str(getattr(function, "attr", getattr(function, "id", "")))

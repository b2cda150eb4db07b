from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeinit.download.paths import check_paths, check_relative, safe_name
from nodeinit.errors import PermanentError
from tests.download.trees import PATHS


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/etc/passwd", "..", ".", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/",
        "a\\b", "..\\x", "a\0b", "a\nb", "a\x7f", "\ud800", "x" * 256, "é" * 128, ".nodeinit/x",
        ".NodeInit", "a/" * 1024 + "a",
    ],
)  # fmt: skip
def test_unsafe_paths_are_refused(path: str) -> None:
    with pytest.raises(PermanentError, match="unsafe_path"):
        check_relative(path)


@pytest.mark.parametrize("path", ["a", "a/b.json", "..a", "a..", "x" * 255, "日本/é", ".hidden/x"])
def test_safe_paths_pass(path: str) -> None:
    assert check_relative(path) == path


@pytest.mark.parametrize(
    "paths", [["a", "A"], ["a/x", "A/y"], ["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"]]
)
def test_paths_that_cannot_live_together_are_refused(paths: list[str]) -> None:
    with pytest.raises(PermanentError, match="unsafe_path"):
        check_paths(paths)


@given(st.lists(PATHS, unique=True))
def test_a_set_of_paths_that_passes_has_no_clash(paths: list[str]) -> None:
    folded = [path.casefold() for path in paths]
    clash = len(set(folded)) < len(folded) or any(
        other.startswith(f"{path}/") for path in folded for other in folded
    )
    try:
        check_paths(paths)
    except PermanentError:
        return
    assert not clash


@given(st.text(), st.text())
def test_safe_names_are_plain_and_distinct(one: str, other: str) -> None:
    name = safe_name(one)
    assert check_relative(name) == name
    assert name.isascii()
    assert not name.startswith(".")
    assert "@" not in name
    assert (name == safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a/b", "a--b"), ("a/b/c", "a--b/c"), ("a b", "a-b"), ("..", "."), ("é", "è")],
)
def test_similar_names_stay_apart(one: str, other: str) -> None:
    assert safe_name(one) != safe_name(other)
    assert safe_name("org/name") == "org--name"

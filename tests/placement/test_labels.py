"""Our label selectors mean what Ray's mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.labels import describe, matches, problem

VALUES = st.sampled_from(["a", "b", "a-1", "A.b_c"])
CONDITIONS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "!"]),
    VALUES | st.lists(VALUES, min_size=1, max_size=3).map(lambda values: f"in({','.join(values)})"),
)
KEYS = st.sampled_from(["zone", "ray.io/accelerator-type", "k"])


@pytest.mark.parametrize(
    ("condition", "label", "holds"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", None, False),
        ("!a", "a", False),
        ("!a", "b", True),
        ("!a", None, True),
        ("in(a,b)", "b", True),
        ("in(a,b)", "c", False),
        ("in(a,b)", None, False),
        ("!in(a,b)", "b", False),
        ("!in(a,b)", "c", True),
        ("!in(a,b)", None, True),
        ("", "", True),
        ("", None, False),
    ],
)
def test_the_four_forms(condition, label, holds):
    assert problem({"k": condition}) is None
    assert matches({"k": condition}, {} if label is None else {"k": label}) is holds


def test_every_condition_must_hold():
    selector = {"zone": "a", "tier": "!spot"}
    assert matches(selector, {"zone": "a"})
    assert not matches(selector, {"zone": "a", "tier": "spot"})
    assert matches({}, {})
    assert describe(selector) == "tier=!spot, zone=a"


@pytest.mark.parametrize(
    "condition", ["in(a, b)", "(a)", "in()", "in(a", "!!a", "-a", "a-", "a b", "!", "x" * 64, 1]
)
def test_a_condition_that_can_never_be_meant_is_refused(condition):
    assert repr(condition) in str(problem({"k": condition}))


@pytest.mark.parametrize("key", ["", "-a", "a/b/c", "/a", "a/", "x" * 64, 1])
def test_a_bad_key_is_refused(key):
    assert repr(key) in str(problem({key: "a"}))


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(KEYS, CONDITIONS), st.dictionaries(KEYS, VALUES))
def test_ray_agrees(selector, labels):
    ray = pytest.importorskip("ray._raylet")
    utils = pytest.importorskip("ray._private.label_utils")
    assert problem(selector) is None
    assert utils.validate_label_selector(selector) is None
    assert matches(selector, labels) == ray.node_labels_match_selector(labels, selector)


@settings(max_examples=500, deadline=None)
@given(st.text("ab!in(), -", max_size=8), st.sampled_from([None, "a", "b", ""]))
def test_whatever_we_accept_ray_accepts_and_reads_the_same(condition, label):
    ray = pytest.importorskip("ray._raylet")
    utils = pytest.importorskip("ray._private.label_utils")
    if problem({"k": condition}) is None:
        labels = {} if label is None else {"k": label}
        assert utils.validate_label_selector({"k": condition}) is None
        assert matches({"k": condition}, labels) == ray.node_labels_match_selector(
            labels, {"k": condition}
        )

"""Bundles by themselves: how many there are, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.placement.amounts import UNIT, amount
from nodeinit.placement.predicates.case import Case, Finding


def bundle_count(case: Case) -> Iterator[Finding]:
    """There are as many bundles as the request has, each with a host."""
    want, have = len(case.request.bundles), len(case.bundles)
    if want != have or have != len(case.node_ids):
        found = f"{have} bundles on {len(case.node_ids)} hosts" if have == want else f"{have}"
        yield f"{want} bundles are asked for, there are {found}", None, None


def no_bad_amounts(case: Case) -> Iterator[Finding]:
    """No amount that Ray would take for another: negative, no number, several GPUs."""
    for i, bundle in enumerate(case.bundles):
        for name, value in bundle.resources.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                yield f"bundle {i} has {name}={value!r} (in steps of 1e-4)", i, None
        if bundle.gpu > UNIT:
            yield f"bundle {i} has {amount(bundle.gpu)} GPUs, a worker runs on one", i, None


def amounts_cover_request(case: Case) -> Iterator[Finding]:
    """Every bundle has what the request asks of it; a group of somebody else may have more."""
    for i, (asked, has) in enumerate(zip(case.request.bundles, case.bundles, strict=False)):
        for name in sorted({*asked.resources, *has.resources}):
            want, given = int(asked.resources.get(name, 0)), int(has.resources.get(name, 0))
            if given < want or (given > want and case.placement is None):
                yield f"bundle {i} asks for {amount(want)} {name}, it has {amount(given)}", i, None
        if case.placement is None and asked.labels != has.labels:
            yield f"bundle {i} has other labels than are asked for", i, None

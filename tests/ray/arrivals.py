"""Random requests, as various as a shared cluster sees them."""

from __future__ import annotations

import random

from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle

KINDS, ZONES = ("H100", "A100"), ("a", "b")
_SELECTORS = ({"zone": "a"}, {"zone": "b"}, {"zone": "!b"}, {"zone": "in(a,b)"}, {"rack": "!x"})


def arrival(rng: random.Random) -> PlacementRequest:
    """A request that may fit or not."""
    return rng.choices([_llm, _fractions, _by_hand, _large], [4, 5, 5, 1])[0](rng)


def _strategy(rng: random.Random, tp: int) -> str:
    strict = ["STRICT_PACK"] if tp > 1 else ["STRICT_PACK", "STRICT_SPREAD"]
    return rng.choice(["PACK", "PACK", "SPREAD", *strict])


def _selector(rng: random.Random) -> dict[str, str] | None:
    return rng.choice(_SELECTORS) if rng.random() < 0.3 else None


def _hint(rng: random.Random, kind: str | None) -> dict[str, float]:
    """What makes Ray know of an accelerator type; not everybody gives it."""
    return {f"accelerator_type:{kind}": 0.001} if kind and rng.random() < 0.7 else {}


def _llm(rng: random.Random) -> PlacementRequest:
    """Equal workers with whole GPUs, a tensor-parallel group for each stage."""
    tp, pp = rng.choice([1, 2, 2, 4, 4, 8]), rng.choice([1, 1, 1, 2, 2, 3, 4])
    kind = rng.choice([None, None, *KINDS])
    return PlacementRequest.of(
        tp,
        pp,
        cpu=rng.choice([0, 0, 1, 2]),
        engine=rng.choice([None, {"CPU": 1}, {"CPU": 4}]),
        resources=_hint(rng, kind),
        labels=_selector(rng),
        strategy=_strategy(rng, tp),
        accelerator_type=kind,
    )


def _fractions(rng: random.Random) -> PlacementRequest:
    """Workers that share GPUs."""
    return PlacementRequest.of(
        1,
        rng.choice([1, 2, 3, 5, 8, 13, 20, 24]),
        gpu=rng.choice([0.6, 0.6, 0.6, 0.3334, 0.3334, 0.5, 0.25]),
        cpu=rng.choice([0, 0, 0.5]),
        labels=_selector(rng),
        strategy=_strategy(rng, 1),
    )


def _by_hand(rng: random.Random) -> PlacementRequest:
    """Bundles that all differ, some of them of no worker."""
    tp = rng.choice([1, 1, 2])
    strategy = _strategy(rng, tp)
    share = 1.0 if tp > 1 else rng.choice([1.0, 1.0, 0.6])
    workers = tp * rng.choice([1, 2, 3, 4])
    bundles = [
        Bundle.of(
            _selector(rng), GPU=share, CPU=rng.choice([0, 1, 2, 3]), disk=rng.choice([0] * 5 + [1])
        )
        for _ in range(workers)
    ]
    for _ in range(rng.choice([0, 1, 2])):
        at = rng.randint(1 if strategy == "STRICT_SPREAD" else 0, len(bundles))
        bundles.insert(at, Bundle.of(_selector(rng), CPU=rng.choice([1, 2, 4])))
    kind = rng.choice([None, None, None, *KINDS])
    return PlacementRequest(tuple(bundles), strategy, tp, workers // tp, accelerator_type=kind)


def _large(rng: random.Random) -> PlacementRequest:
    """Many GPUs; often more than there are."""
    return PlacementRequest.of(
        rng.choice([1, 4, 8]), rng.choice([4, 5, 9]), strategy=rng.choice(["PACK", "SPREAD"])
    )

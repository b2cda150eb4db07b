"""Hosts and groups of a cluster by hand, in units instead of fixed-point amounts."""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.placement.topology import Bundle, Group, Host, fixed


def host(
    name: str,
    gpus: float,
    free: float | None = None,
    *,
    cpu: float = 32,
    free_cpu: float | None = None,
    zone: str | None = None,
    kind: str | None = None,
    alive: bool = True,
    gpu_list: tuple[int, ...] | None = None,
    **more: float,
) -> Host:
    """A host of which `free` of the GPUs and `free_cpu` of the CPUs are unused (all by default).

    `zone` is a label, `kind` the type of its GPUs, `gpu_list` the free amount of each GPU in fixed
    point, and `more` are further resources.
    """
    total = {"GPU": gpus, "CPU": cpu, **more}
    if kind is not None:
        total[f"accelerator_type:{kind}"] = 1
    left = {**total, "GPU": gpus if free is None else free}
    left["CPU"] = cpu if free_cpu is None else free_cpu
    return Host(
        name,
        f"host-{name}",
        {k: fixed(v) for k, v in total.items()},
        {k: fixed(v) for k, v in left.items()},
        {"zone": zone} if zone else {},
        alive,
        gpu_list,
    )


def group(group_id: str, node_id: str, shares: Sequence[float]) -> Group:
    """Somebody's group on one host, with these shares of its GPUs."""
    bundles = tuple(Bundle.of(GPU=share) for share in shares)
    return Group(group_id, group_id, "CREATED", bundles, "PACK", (node_id,) * len(bundles))

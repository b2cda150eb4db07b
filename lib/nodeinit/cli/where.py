"""The options that say which cluster is meant, the same for all commands that need one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from nodeinit.cli.cluster import GPUS_PER_HOST, Where

F = TypeVar("F", bound=Callable[..., Any])


def _counted(_context: click.Context, _option: click.Parameter, value: int | None) -> int | None:
    """A number of hosts or of GPUs, once it is known to be one."""
    if value is not None and value < 1:
        raise click.BadParameter(f"{value} is not a whole number, 1 or more.")
    return value


_OPTIONS = (
    click.option(
        "--address", metavar="ADDR", help="The Ray to use. Default: $RAY_ADDRESS, or one here."
    ),
    click.option(
        "--hosts", type=int, callback=_counted, metavar="N", help="Simulate N hosts with GPUs."
    ),
    click.option(
        "--gpus-per-host",
        type=int,
        callback=_counted,
        metavar="M",
        help="GPUs of each. Default: 8.",
    ),
)


def cluster_options(command: F) -> F:
    """Give a command `--address`, `--hosts` and `--gpus-per-host`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def where_of(options: Mapping[str, Any]) -> Where:
    """The cluster that is meant. Raises `click.UsageError` for options that do not go together."""
    address, hosts, gpus = (options[name] for name in ("address", "hosts", "gpus_per_host"))
    if address is not None and hosts is not None:
        raise click.UsageError("--hosts simulates a cluster, so --address cannot be given with it")
    if gpus is not None and hosts is None:
        raise click.UsageError("--gpus-per-host needs --hosts N, the number of hosts to simulate")
    if hosts is None and address is None:
        address = os.environ.get("RAY_ADDRESS") or None
    return Where(address, hosts, gpus or GPUS_PER_HOST)

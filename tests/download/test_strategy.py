from __future__ import annotations

import attrs
import pytest

from nodeinit.download.strategy import Choice, Found, Strategy, choose, mirror_of
from nodeinit.errors import PermanentError

HUB, BUCKET, WEB, LOCAL = "hf://org/model@abc", "s3://bucket/model", "https://x.org/m", "/models/m"


def found(count: int, **changes: object) -> list[Found]:
    return [attrs.evolve(Found(f"host-{n}", 100), **changes) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("source", "hosts", "strategy", "why"),
    [
        (HUB, found(1), "direct", "only one host"),
        (HUB, found(2), "direct", "only 2 hosts"),
        (HUB, found(3), "swarm", "3 hosts fetch from the Hub"),
        (WEB, found(8), "swarm", "8 hosts fetch from https://"),
        (HUB, found(8, no_swarm="libtorrent is not installed"), "direct", "on host-1 libtorrent"),
        (BUCKET, found(8), "direct", "s3:// serves all hosts of its region"),
        ("pyarrow-s3://bucket/model", found(8), "direct", "s3:// serves all hosts of its region"),
        (LOCAL, found(8), "direct", "reads the source where it lies"),
        (HUB, found(8, lacks=0), "direct", "nothing to fetch"),
        (HUB, found(3, sees_store=True), "shared", "all 3 hosts see one store"),
        (LOCAL, found(2, sees_store=True), "shared", "all 2 hosts see one store"),
        (HUB, found(1, sees_store=True), "direct", "only one host"),
        (HUB, found(3, mirror="HF_ENDPOINT"), "external", "HF_ENDPOINT names a mirror"),
        (HUB, [*found(1, mirror="HF_ENDPOINT"), *found(2)], "swarm", "3 hosts"),
    ],
)
def test_auto(source: str, hosts: list[Found], strategy: str, why: str) -> None:
    choice = choose("auto", source, hosts)
    assert choice.strategy == strategy
    assert why in choice.reason


def test_one_host_that_does_not_see_the_store_is_enough_for_it_not_to_be_shared() -> None:
    hosts = [*found(2, sees_store=True), Found("host-3", 100)]
    assert choose("auto", HUB, hosts).strategy is Strategy.SWARM
    with pytest.raises(PermanentError, match="host-3 does not see the store of host-1"):
        choose("shared", HUB, hosts)


@pytest.mark.parametrize("setting", ["direct", "shared", "swarm", "external"])
def test_a_setting_is_obeyed(setting: str) -> None:
    assert choose(setting, BUCKET, found(2, sees_store=True)).strategy == setting


def test_a_swarm_that_cannot_be_is_no_error() -> None:
    assert choose("swarm", HUB, found(1)).strategy is Strategy.DIRECT
    lacking = choose("swarm", HUB, [*found(2), Found("host-9", 1, no_swarm="has no wheel")])
    assert lacking == Choice(Strategy.DIRECT, "no swarm, as on host-9 has no wheel")


@pytest.mark.parametrize(
    ("source", "environ", "name"),
    [
        (HUB, {"HF_ENDPOINT": "http://mirror:8080"}, "HF_ENDPOINT"),
        (HUB, {"HF_ENDPOINT": "https://huggingface.co"}, ""),
        (f"{HUB}?endpoint=http://mirror:8080", {}, "HF_ENDPOINT"),
        ("pyarrow-s3://bucket/m", {"AWS_ENDPOINT_URL": "http://mirror:9000"}, "AWS_ENDPOINT_URL"),
        (BUCKET, {"HF_ENDPOINT": "http://mirror:8080"}, ""),
        (BUCKET, {"AWS_ENDPOINT_URL": "http://mirror:9000"}, "AWS_ENDPOINT_URL"),
        (BUCKET, {"AWS_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"}, ""),
        (WEB, {"https_proxy": "http://proxy:3128"}, "https_proxy"),
        (WEB, {"HTTPS_PROXY": "http://proxy:3128"}, "HTTPS_PROXY"),
        (WEB, {"http_proxy": "http://proxy:3128"}, ""),
        (WEB, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,x.org"}, ""),
        (WEB, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "ax.org"}, "HTTPS_PROXY"),
        (LOCAL, {"HTTPS_PROXY": "http://proxy:3128"}, ""),
        (HUB, {}, ""),
    ],
)
def test_what_names_a_mirror(source: str, environ: dict[str, str], name: str) -> None:
    assert mirror_of(source, environ) == name

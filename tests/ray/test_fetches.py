from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from nodeinit.callbacks import CallbackSpec
from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, NodeModelDownloadable
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import Shelf, is_complete
from nodeinit.errors import HookError, PermanentError, TemporaryError
from nodeinit.ray import RayCluster, workers
from tests.ray.conftest import run

Jobs = Callable[..., FetchJob]
ALL = NodeModelDownloadable.MODEL_AND_TOKENIZER


def ignore(_: Progress) -> None: ...


def hosts_of(cluster: RayCluster) -> tuple[str, ...]:
    assert cluster.hosts is not None
    return cluster.hosts.node_ids


def shelf_of(job: FetchJob) -> Shelf:
    return Shelf.at(job.path, job.manifest)


def staged(job: FetchJob) -> list[Path]:
    staging = Path(job.path).parent.parent / ".nodeinit" / "staging"
    return [path for path in staging.rglob("*") if path.is_file()]


class Busy:
    """Another process of the host that publishes the same model: a fetch there waits for it."""

    def __init__(self, job: FetchJob) -> None:
        lock = shelf_of(job).lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(lock)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


async def until_waiting(cluster: RayCluster, node_id: str, job: FetchJob) -> asyncio.Task[Any]:
    """Start a fetch and come back once its host has said that it waits."""
    waiting = asyncio.Event()

    def on_progress(progress: Progress) -> None:
        if progress.stage == "wait":
            waiting.set()

    fetching = asyncio.ensure_future(cluster.fetch(node_id, job, on_progress))
    await asyncio.wait(
        {fetching, asyncio.ensure_future(waiting.wait())}, return_when="FIRST_COMPLETED"
    )
    assert not fetching.done()
    return fetching


def test_every_host_brings_the_model_and_reports_it(
    cluster: RayCluster, job: Jobs, model: Manifest
) -> None:
    hosts = hosts_of(cluster)
    jobs = [job(f"fetch-{host[:6]}") for host in hosts]
    heard: list[Progress] = []

    async def main() -> None:
        reports = await asyncio.gather(
            *(cluster.fetch(host, one, heard.append) for host, one in zip(hosts, jobs, strict=True))
        )
        for host, one, report in zip(hosts, jobs, reports, strict=True):
            assert (report.node_id, report.path, report.mode) == (host, one.path, ALL)
            assert report.revision == model.revision
            assert (report.files, report.bytes) == (len(model.files), model.size)
            assert report.fetched == model.size
            assert report.verified
            assert is_complete(one.path, model, ALL)
        # Warm: nothing moves again.
        again = await cluster.fetch(hosts[0], jobs[0], ignore)
        assert (again.fetched, again.verified) == (0, True)

    run(main)
    last = {progress.node_id: progress for progress in heard}
    for host in hosts:
        assert (last[host].done, last[host].total) == (model.size, model.size)


def test_the_manifest_is_that_of_the_source(
    cluster: RayCluster, model: Manifest, tmp_path: Path
) -> None:
    settings = {"store": str(tmp_path / "store")}

    def asked(source: str) -> LLMConfig:
        return LLMConfig(model_id=model.model_id, model_source=source, nodeinit=settings)

    assert run(lambda: cluster.manifest(asked(model.source))) == model
    assert (tmp_path / "store" / ".nodeinit" / "digests").exists(), "it is remembered there"
    with pytest.raises(PermanentError, match="/no/such/model"):
        run(lambda: cluster.manifest(asked("/no/such/model")))


def test_verify_only_brings_nothing(cluster: RayCluster, job: Jobs, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    one = job("fetch", path=str(empty), verify_only=True)
    with pytest.raises(PermanentError, match=r"^host host-\d: .*config.json is missing"):
        run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert list(empty.iterdir()) == []


def test_a_cancel_is_acknowledged_by_the_host(cluster: RayCluster, job: Jobs) -> None:
    one = job("fetch")

    async def main() -> None:
        fetching = await until_waiting(cluster, hosts_of(cluster)[1], one)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert workers.find("fetch") is None
        assert workers.trace_of("fetch") is None  # the host said that nothing is left
        await cluster.stop_fetch("fetch")  # and so there is nothing to do for it

    with Busy(one):
        run(main)
    assert staged(one) == []


def test_a_cancel_while_the_process_starts_is_obeyed(cluster: RayCluster, job: Jobs) -> None:
    async def main() -> None:
        for seconds in (0, 0.005, 0.02, 0.05, 0.2):
            one = job(f"fetch-{seconds}")
            fetching = asyncio.ensure_future(cluster.fetch(hosts_of(cluster)[0], one, ignore))
            await asyncio.sleep(seconds)
            fetching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await fetching
            await cluster.stop_fetch(one.name)
            assert workers.find(one.name) is None
            assert workers.trace_of(one.name) is None
            assert staged(one) == []

    run(main)


def test_a_dead_host_is_a_temporary_error_that_comes_soon(cluster: RayCluster, job: Jobs) -> None:
    one, host = job("fetch"), hosts_of(cluster)[2]

    async def main() -> None:
        fetching = await until_waiting(cluster, host, one)
        await asyncio.to_thread(cluster.hosts.kill_host, host)  # type: ignore[union-attr]
        async with asyncio.timeout(15):
            with pytest.raises(TemporaryError, match=r"^host host-\d+"):
                await fetching
            await cluster.stop_fetch("fetch")
            with pytest.raises(TemporaryError, match=r"^host host-\d+ is dead"):
                await cluster.fetch(host, one, ignore)
        assert workers.trace_of("fetch") is None

    with Busy(one):
        run(main)


def test_a_dead_process_is_a_temporary_error_naming_its_host(
    cluster: RayCluster, job: Jobs
) -> None:
    one = job("fetch")

    async def main() -> None:
        fetching = await until_waiting(cluster, hosts_of(cluster)[0], one)
        workers.kill(workers.find("fetch"))
        with pytest.raises(TemporaryError, match=r"^host host-\d+: .*is lost"):
            await fetching

    with Busy(one):
        run(main)
    run(lambda: cluster.stop_fetch("fetch"))


def test_what_a_dead_run_left_is_stopped_and_cleared_by_its_name(
    cluster: RayCluster, job: Jobs
) -> None:
    one, host = job("fetch of a dead run"), hosts_of(cluster)[0]
    left = shelf_of(one).scratch(one.name)
    others = shelf_of(one).scratch("another fetch")
    for directory in (left, others):
        (directory / "model").mkdir(parents=True)
        (directory / "model" / "half.safetensors").write_bytes(b"half")

    async def main() -> None:
        fetching = await until_waiting(cluster, host, one)
        await RayCluster().stop_fetch(one.name)
        with pytest.raises(TemporaryError):
            await fetching

    with Busy(one):
        run(main)
    assert not left.exists()
    assert others.exists()
    run(lambda: RayCluster().stop_fetch(one.name))


def test_a_second_fetch_of_one_name_is_refused(cluster: RayCluster, job: Jobs) -> None:
    one, host = job("fetch"), hosts_of(cluster)[0]

    async def main() -> None:
        fetching = await until_waiting(cluster, host, one)
        with pytest.raises(TemporaryError, match="under way already"):
            await RayCluster().fetch(host, one, ignore)
        assert not fetching.done()
        await cluster.stop_fetch("fetch")
        with pytest.raises(TemporaryError):
            await fetching

    with Busy(one):
        run(main)


# -- hooks ------------------------------------------------------------------------------------------


class Notes:
    """A callback that is sent to hosts by value or by name."""

    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        seen = {**ctx.custom_data, f"seen by {node_id}{self.suffix}": ctx.llm_config.model_id}
        return ctx.evolve(custom_data=seen)


class Slow:
    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
        await asyncio.sleep(3600)


class Faulty:
    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
        raise TemporaryError("come back later", delay=7.5)


class Greedy:
    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        return ctx.evolve(worker_node_download_model="NONE")


class Deadly:
    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
        import os

        os.kill(os.getpid(), 9)


class Locked:
    def __init__(self) -> None:
        self.guard = (n for n in ())

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None: ...


@pytest.mark.parametrize("instance", [False, True])
def test_every_host_runs_its_hooks_and_its_data_comes_back(
    cluster: RayCluster, job: Jobs, instance: bool
) -> None:
    spec = CallbackSpec(Notes("!")) if instance else CallbackSpec(Notes, {"suffix": "!"})
    config = LLMConfig(model_id="org/tiny")
    ctx = CallbackCtx(llm_config=config, custom_data={"mine": 1})
    hosts = hosts_of(cluster)

    async def main() -> None:
        reports = await asyncio.gather(
            *(cluster.fetch(h, job(f"f{h[:6]}", hooks=(spec,), ctx=ctx), ignore) for h in hosts)
        )
        for host, report in zip(hosts, reports, strict=True):
            assert dict(report.custom_data) == {f"seen by {host}!": "org/tiny"}

    run(main)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of a user's own modules, as it is on the path of a script."""
    directory = tmp_path / "script"
    directory.mkdir()
    (directory / "my_callbacks.py").write_text(
        "import attrs\n"
        "FACTOR = 2\n"
        "class Mine:\n"
        "    def on_node_download(self, ctx, node_id):\n"
        "        data = ctx.custom_data.set('answer', 21 * FACTOR)\n"
        "        return attrs.evolve(ctx, custom_data=data)\n"
    )
    monkeypatch.syspath_prepend(str(directory))
    yield directory
    sys.modules.pop("my_callbacks", None)


def test_a_module_on_our_path_is_on_the_hosts_path(
    cluster: RayCluster, job: Jobs, script: Path
) -> None:
    one = job("fetch", hooks=(CallbackSpec("my_callbacks:Mine"),))
    report = run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert report.custom_data["answer"] == 42


def test_a_class_whose_module_hosts_cannot_import_goes_along(
    cluster: RayCluster, job: Jobs, script: Path
) -> None:
    mine = importlib.import_module("my_callbacks").Mine
    sys.path.remove(str(script))
    one = job("fetch", hooks=(CallbackSpec(mine),))
    report = run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert report.custom_data["answer"] == 42


def test_a_module_that_hosts_lack_is_named(cluster: RayCluster, job: Jobs) -> None:
    one = job("fetch", hooks=(CallbackSpec("no_such_module_there:Mine"),))
    with pytest.raises(Exception, match=r"^host host-\d+: .*no_such_module_there") as caught:
        run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert type(caught.value).__name__ == "ConfigError"


def test_an_instance_that_cannot_be_sent_is_named_with_its_attribute(
    cluster: RayCluster, job: Jobs
) -> None:
    one = job("fetch", hooks=(CallbackSpec(Locked()),))
    with pytest.raises(PermanentError, match=r"Locked .*attribute 'guard' is a generator"):
        run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert workers.trace_of("fetch") is None


@pytest.mark.parametrize(
    ("hook", "says", "temporary"),
    [
        (Faulty, "come back later", True),
        (Greedy, "only custom_data comes back", False),
        (Slow, "deadline of 0.3 s", False),
    ],
)
def test_a_failing_hook_is_a_hook_error_naming_host_callback_and_rule(
    cluster: RayCluster, job: Jobs, hook: type, says: str, temporary: bool
) -> None:
    one = job("fetch", hooks=(CallbackSpec(hook),), hook_deadline=0.3 if hook is Slow else 30)
    with pytest.raises(HookError, match=says) as caught:
        run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert str(caught.value).startswith("host host-")
    assert caught.value.hook == "on_node_download"
    assert caught.value.callback.endswith(f":{hook.__name__}")
    assert caught.value.temporary is temporary
    assert caught.value.delay == (7.5 if temporary else None)


def test_a_cancel_ends_a_hook_too(cluster: RayCluster, job: Jobs) -> None:
    one = job("fetch", hooks=(CallbackSpec(Slow),))

    async def main() -> None:
        running = asyncio.Event()
        fetching = asyncio.ensure_future(
            cluster.fetch(
                hosts_of(cluster)[0], one, lambda p: running.set() if p.stage == "hooks" else None
            )
        )
        await running.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert workers.find("fetch") is None
        assert workers.trace_of("fetch") is None

    run(main)


def test_a_hook_that_kills_its_process_is_a_temporary_error(cluster: RayCluster, job: Jobs) -> None:
    one = job("fetch", hooks=(CallbackSpec(Deadly),))
    with pytest.raises(TemporaryError, match=r"^host host-\d+: .*is lost"):
        run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    run(lambda: cluster.stop_fetch("fetch"))


def test_a_runtime_env_reaches_the_process(cluster: RayCluster, job: Jobs) -> None:
    class Reads:
        def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
            import os

            return ctx.evolve(custom_data={"found": os.environ["NODEINIT_TEST_WORD"]})

    ctx = CallbackCtx(
        llm_config=LLMConfig(model_id="org/tiny"),
        runtime_env={"env_vars": {"NODEINIT_TEST_WORD": "hello"}},
    )
    one = job("fetch", hooks=(CallbackSpec(Reads),), ctx=ctx)
    report = run(lambda: cluster.fetch(hosts_of(cluster)[0], one, ignore))
    assert report.custom_data["found"] == "hello"


def test_a_runtime_env_that_ray_does_not_take_is_a_permanent_error(
    cluster: RayCluster, job: Jobs, tmp_path: Path
) -> None:
    ctx = CallbackCtx(
        llm_config=LLMConfig(model_id="org/tiny"),
        runtime_env={"working_dir": str(tmp_path / "nowhere")},
    )
    with pytest.raises(PermanentError, match="runtime_env"):
        run(lambda: cluster.fetch(hosts_of(cluster)[0], job("fetch", ctx=ctx), ignore))
    run(lambda: cluster.stop_fetch("fetch"))

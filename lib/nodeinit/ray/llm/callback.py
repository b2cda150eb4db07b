"""`NodeInitCallback`: nodeinit as the callback of `ray.serve.llm`, in any config that is there.

    callback_config:
      callback_class: "nodeinit.ray.llm:NodeInitCallback"
      callback_kwargs: {callback: "my_module:MyCallback"}

Importing this module imports Ray, and nothing of vLLM.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.util import get_current_placement_group

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig, convert
from nodeinit.config.callback_config import ADAPTER, ADAPTER_KWARGS
from nodeinit.context import CallbackCtx
from nodeinit.errors import ConfigError, Fault, PermanentError, nearest
from nodeinit.fsm.events import Frame
from nodeinit.fsm.registry import load_machine
from nodeinit.node.initializer import STANDARD, NodeInitializer
from nodeinit.node.policy import policy_of
from nodeinit.placement.request import PlacementRequest
from nodeinit.ray.groups import id_of
from nodeinit.ray.llm import budget, group, handover
from nodeinit.ray.llm.background import Background
from nodeinit.ray.llm.naming import journal_in_session, node_name
from nodeinit.ray.llm.probe import upstream
from nodeinit.ray.llm.startable import check_startable
from nodeinit.ray.llm.supported import check_supported
from nodeinit.ray.removal import remove_from_any_thread

log = logging.getLogger("nodeinit.ray.llm")
# Ray shows what every library has to say, and this one has something to say at each step.
logging.getLogger("transitions").setLevel(logging.WARNING)

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""What Ray hands on: `ray/llm/_internal/serve/constants.py`, `ENV_VARS_TO_PROPAGATE`."""


class NodeInitCallback(CallbackBase):  # type: ignore[misc]  # Ray has no types here
    """Brings a replica's node to READY before its engine starts.

    Ray makes it in the replica, with `llm_config`, `raise_error_on_callback` and `ctx_kwargs`. From
    the user come `callback` (an import path, a class, a `CallbackSpec`, or a list of these) with
    `callback_kwargs`; `machine`, the name of an installed one; `journal`, a directory (by default
    `nodeinit` among the logs of Ray's session); and `own_group`: the node reserves its GPUs itself,
    after the download, instead of taking over what Serve has reserved.

    Raises `ConfigError` for what is wrong in them, and for a Ray or a config that it cannot serve.
    """

    adapter_name: Final = ADAPTER

    def __init__(
        self,
        llm_config: Any,
        raise_error_on_callback: bool = True,
        ctx_kwargs: Mapping[str, Any] | None = None,
        *,
        callback: Any = None,
        callback_kwargs: Mapping[str, Any] | None = None,
        machine: str = STANDARD,
        journal: str | os.PathLike[str] | None = None,
        own_group: bool = False,
        **kwargs: Any,
    ) -> None:
        self._refuse_unknown(kwargs)
        self._serves = get_current_placement_group()
        given = _only_ours(dict(ctx_kwargs or {}), llm_config, self._serves)
        super().__init__(
            llm_config=llm_config,
            raise_error_on_callback=raise_error_on_callback,
            ctx_kwargs=given,
            **kwargs,
        )
        self._machine = machine
        self._journal = journal
        self._own = own_group or self._serves is None
        self._background: Background | None = None
        _check_version(own_group)
        self._config = self._converted(callback, callback_kwargs)
        check_supported(self._config)

    async def on_before_node_init(self) -> None:
        """Run the whole machine, then tell Ray what came of it.

        Raises `InitializationFailed` with the reason; then nothing is left behind.
        """
        self._background = Background(self._node, self._budget, self._check)
        await self._background.bring_up()
        try:
            handover.hand_over(self._ready_ctx(), self.llm_config.get_engine_config(), self.ctx)
        except BaseException:
            await self._background.end()
            raise

    async def on_after_node_init(self) -> None:
        """The node is ready still, or the engine does not start."""
        self._ready_ctx()

    async def run_callback(self, method_name: str) -> None:
        """Run a hook; what it raises goes on as it is.

        Whether `raise_error_on_callback` is set or not: it is the policy for the user's hooks. An
        engine whose node is not ready must not start, least of all from some other source.
        """
        await getattr(self, method_name)()

    @property
    def node(self) -> NodeInitializer | None:
        """The node, once it has begun; a thread of its own drives it."""
        return self._background.node if self._background else None

    def __getstate__(self) -> dict[str, Any]:
        """What goes to other processes with the config: nothing that is alive."""
        return {**self.__dict__, "_background": None}

    # -- how the node is made ----------------------------------------------------------------------

    @property
    def _budget(self) -> float:
        return budget.budget_of(budget.engine_deadline())

    @classmethod
    def _refuse_unknown(cls, kwargs: Mapping[str, Any]) -> None:
        """Arguments that are nobody's; those of a class that was derived from this one are its own."""
        if cls is not NodeInitCallback or not kwargs:
            return
        name = next(iter(kwargs))
        hint = nearest(name, ADAPTER_KWARGS)
        remedy = f"did you mean {hint!r}?" if hint else f"known: {', '.join(ADAPTER_KWARGS)}"
        where = f"callback_config.callback_kwargs.{name}"
        raise ConfigError(Fault(where, "is no argument of NodeInitCallback", remedy=remedy))

    def _converted(self, callback: Any, callback_kwargs: Mapping[str, Any] | None) -> LLMConfig:
        """What Ray's config says, with the user's callbacks in the place of this one."""
        data = convert.from_ray(self.llm_config)
        data.pop("callback_config", None)
        if callback is not None:
            written = {
                "callback_class": callback,
                "raise_error_on_callback": self.raise_error_on_callback,
            }
            data["callback_config"] = written | (
                {"callback_kwargs": callback_kwargs} if callback_kwargs else {}
            )
        if self._own and self._serves is not None:
            # It says what Serve is to reserve in the place of the node's GPUs.
            data.pop("placement_group_config", None)
        return LLMConfig.from_dict(data, source="ray.serve.llm.LLMConfig")

    def _node(self) -> NodeInitializer:
        config = self._with_group(self._config)
        machine = load_machine(self._machine)
        name = node_name(config.model_id)
        return NodeInitializer(
            config,
            machine=machine,
            policy=budget.within(policy_of(config, machine), machine, self._budget),
            journal=Path(self._journal or journal_in_session()) / f"{name}.jsonl",
            name=name,
        )

    def _with_group(self, config: LLMConfig) -> LLMConfig:
        """The config with callbacks of ours around the user's, which see to the group."""
        first: Any
        last: tuple[CallbackSpec, ...] = ()
        if self._own:
            group.check_nothing_reserved(self._serves)
            first = group.ReservesOwnGroup(
                PlacementRequest.from_config(config), self.ctx.runtime_env
            )
        else:
            first = group.AdoptsServesGroup(self._serves, self.ctx.runtime_env)
            last = (CallbackSpec(group.KeepsServesGroup(self._serves)),)
        return config.evolve(callbacks=(CallbackSpec(first), *config.callbacks, *last))

    def _check(self, node: NodeInitializer) -> None:
        ctx = node.ctx
        assert ctx.placement is not None
        if self._config.hardware == "gpu":
            check_startable(
                ctx.placement.group_id, self._config.accelerator_type, self.ctx.runtime_env
            )

    def _ready_ctx(self) -> CallbackCtx:
        node = self.node
        if node is None or node.state != Frame.READY:
            where = node.explain() if node else "It was not started."
            raise PermanentError(f"the node is not ready: {where}")
        return node.ctx


def _only_ours(given: dict[str, Any], llm_config: Any, serves: Any) -> dict[str, Any]:
    """Take back what Ray did before it made the callback; answers the arguments for its context.

    For a caller without a placement group it has reserved one, which would be held beside ours, and
    by everybody who only looks at the callback. And it has written the tokens of this process into
    the config, for everybody to read. A group that is removed as soon as it was made can cost its
    GPUs for good, so it is given the time to be placed.
    """
    given["runtime_env"] = copy.deepcopy(given.get("runtime_env"))
    engine_config = llm_config.get_engine_config()
    if serves is None and given.get("placement_group") is not None:
        remove_from_any_thread(id_of(given.pop("placement_group")))
        shut_down = getattr(getattr(engine_config, "accelerator", None), "shutdown", None)
        if shut_down is not None:  # of a TPU slice
            shut_down()
    for config in (llm_config, engine_config):
        variables = (getattr(config, "runtime_env", None) or {}).get("env_vars", {})
        for name in _TOKENS:
            if name in variables and variables[name] == os.environ.get(name):
                del variables[name]
    return given


def _check_version(own_group: bool) -> None:
    known = upstream()
    if known.untried:
        log.warning("Ray %s is later than what NodeInitCallback was tried with", known.version)
    if own_group and not known.can_be_told_hardware:
        problem = f"Ray {known.version} cannot reserve nothing for an engine with GPUs"
        where = "callback_config.callback_kwargs.own_group"
        raise ConfigError(Fault(where, problem, "True", "leave it out, or use Ray 2.54 or later"))

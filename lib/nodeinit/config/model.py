"""`LLMConfig`: the configuration of one LLM deployment, as `ray.serve.llm` has it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Never, Self

import attrs

from nodeinit import callbacks as _callbacks
from nodeinit.callbacks import CallbackSpec
from nodeinit.config import arguments, convert
from nodeinit.config.hardware import BUNDLES, Hardware, hardware_of
from nodeinit.config.origin import Origin
from nodeinit.config.parts import ModelLoadingConfig, Settings
from nodeinit.errors import ConfigError, Fault
from nodeinit.frozen import EMPTY, FrozenMap, freeze_map
from nodeinit.redact import redact


class _Alike:
    """A callback's target, comparable even when its class makes it unhashable."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and bool(self.target == other.target)

    def __hash__(self) -> int:
        return hash(self.target if isinstance(self.target, str) else type(self.target))


def _comparable(specs: tuple[CallbackSpec, ...]) -> Any:
    return tuple((_Alike(spec.target), spec.kwargs, spec.raise_error) for spec in specs)


def _optional_map(value: Mapping[str, Any] | None) -> FrozenMap | None:
    return None if value is None else freeze_map(value)


def _accelerator(name: str | None) -> str | None:
    # Ray does the same: there is no A10 among its accelerators.
    return "A10G" if name == "A10" else name


@attrs.frozen(kw_only=True, init=False, repr=False)
class LLMConfig:
    """The configuration of one LLM deployment: frozen, hashable, checked when it is made.

    It has the fields of `ray.serve.llm.LLMConfig` (2.60) and reads the same YAML; what they mean is
    said there, and in `nodeinit.config.json_schema()`. Mappings are deeply immutable. Instead of
    Ray's `callback_config` it holds `callbacks`, of which there may be several. The settings of
    nodeinit itself stand under `experimental_configs.nodeinit` and are read as `nodeinit`.
    """

    model_loading_config: ModelLoadingConfig
    llm_engine: str = "vLLM"
    engine_kwargs: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    accelerator_type: str | None = attrs.field(default=None, converter=_accelerator)
    accelerator_config: FrozenMap | None = attrs.field(default=None, converter=_optional_map)
    placement_group_config: FrozenMap | None = attrs.field(default=None, converter=_optional_map)
    lora_config: FrozenMap | None = attrs.field(default=None, converter=_optional_map)
    deployment_config: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    runtime_env: FrozenMap | None = attrs.field(default=None, converter=_optional_map)
    server_cls: str | Any | None = None
    experimental_configs: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    log_engine_metrics: bool | None = True
    callbacks: tuple[CallbackSpec, ...] = attrs.field(default=(), eq=_comparable, converter=tuple)

    def __init__(
        self,
        *,
        model_id: str | None = None,
        model_source: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        tokenizer_source: str | None = None,
        model_loading_config: ModelLoadingConfig | Mapping[str, Any] | None = None,
        llm_engine: str = "vLLM",
        engine_kwargs: Mapping[str, Any] | None = None,
        accelerator_type: str | None = None,
        accelerator_config: Mapping[str, Any] | None = None,
        placement_group_config: Mapping[str, Any] | None = None,
        lora_config: Mapping[str, Any] | None = None,
        deployment_config: Mapping[str, Any] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        server_cls: str | Any | None = None,
        experimental_configs: Mapping[str, Any] | None = None,
        nodeinit: Settings | Mapping[str, Any] | None = None,
        log_engine_metrics: bool | None = True,
        callback: Any = None,
        callback_kwargs: Mapping[str, Any] | None = None,
        callback_config: Mapping[str, Any] | None = None,
        callbacks: Sequence[CallbackSpec] = (),
        **unknown: Never,
    ) -> None:
        """Make a config from the fields of a file, or from their short names.

        `model_id`, `model_source` and `tokenizer_source` fill `model_loading_config`; `nodeinit`
        fills `experimental_configs.nodeinit`. `callback` is a class, an instance, an import path
        ("package.module:Class"), a `CallbackSpec`, or a list of these; `callback_kwargs` go to the
        constructor of a single one.

        Raises `ConfigError` with everything that is wrong, as loading a file does.
        """
        # `unknown` is typed so that a type checker refuses what would be refused here anyway.
        asked = {name: value for name, value in locals().items() if name not in ("self", "unknown")}
        data, origin = arguments.long_form(asked)
        if log_engine_metrics is None:  # a value of its own here, unlike in the other fields
            data["log_engine_metrics"] = None
        self.__attrs_init__(**arguments.fields_of({**data, **unknown}, origin))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str | None = None) -> Self:
        """Make a config from the mapping that a YAML file of one LLMConfig holds.

        `source` names it in errors. Raises `ConfigError`.
        """
        origin = Origin(source or "LLMConfig.from_dict(...)")
        made = cls.__new__(cls)
        made.__attrs_init__(**arguments.fields_of(data, origin))
        return made

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, model: str | None = None) -> Self:
        """Load the config of one model from a YAML file.

        The file holds one LLMConfig, or is a Ray Serve config file whose applications have
        `llm_configs`, inline or as paths. Of several models, `model` picks one by its `model_id`.
        Raises `ConfigError` with all faults of the file.
        """
        from nodeinit.config import load

        return load.load(cls, path, model)

    @classmethod
    def load_all(cls, path: str | os.PathLike[str]) -> tuple[Self, ...]:
        """Load the configs of all models of a file, in its order. Raises as `load`."""
        from nodeinit.config import load

        return load.load_all(cls, path)

    @classmethod
    def from_ray(cls, config: Any) -> Self:
        """Convert a `ray.serve.llm.LLMConfig`. Raises `ConfigError` for what we know to fail."""
        return cls.from_dict(convert.from_ray(config), source="ray.serve.llm.LLMConfig")

    def to_ray(self) -> Any:
        """Convert to a `ray.serve.llm.LLMConfig`, which needs the package `ray[llm]`.

        Raises `ConfigError` when there are several callbacks: Ray takes one.
        """
        return convert.to_ray(self)

    @property
    def model_id(self) -> str:
        """The name under which users ask for the model."""
        return self.model_loading_config.model_id

    @property
    def model_source(self) -> str:
        """Where the model's files come from: the source that is given, else the model id."""
        return self.model_loading_config.source

    @property
    def extra_files(self) -> tuple[tuple[str, str], ...]:
        """What is brought beside the model: pairs of a URL and a directory on every host."""
        return self.model_loading_config.extra_files

    @property
    def tensor_parallel_size(self) -> int:
        """Accelerators that share each layer (`tp_size` in SGLang)."""
        return self._size("tensor_parallel_size", "tp_size")

    @property
    def pipeline_parallel_size(self) -> int:
        """Stages that the layers are cut into (`pp_size` in SGLang)."""
        return self._size("pipeline_parallel_size", "pp_size")

    @property
    def data_parallel_size(self) -> int:
        """Copies of the model that work as one (`dp_size` in SGLang)."""
        return self._size("data_parallel_size", "dp_size")

    def _size(self, name: str, short: str) -> int:
        return int(self.engine_kwargs.get(name, self.engine_kwargs.get(short, 1)))

    @property
    def bundles(self) -> tuple[FrozenMap, ...] | None:
        """The bundles that are listed in `placement_group_config`, amounts in units, or `None`."""
        group = self.placement_group_config or EMPTY
        listed = next((group[name] for name in BUNDLES if name in group), None)
        return None if listed is None else tuple(listed)

    @property
    def bundle_per_worker(self) -> FrozenMap | None:
        """The bundle of every worker, amounts in units, when one is given for all."""
        found: FrozenMap | None = (self.placement_group_config or EMPTY).get("bundle_per_worker")
        return found

    @property
    def strategy(self) -> str:
        """How Ray spreads the bundles over hosts: `PACK` unless said otherwise."""
        group = self.placement_group_config or EMPTY
        return str(group.get("strategy", group.get("placement_group_strategy", "PACK")))

    @property
    def hardware(self) -> Hardware:
        """The kind of hardware that is asked for, by the rules of Ray Serve LLM."""
        return hardware_of({name: getattr(self, name) for name in _HARDWARE_FIELDS})

    @functools.cached_property
    def nodeinit(self) -> Settings:
        """What the config says to nodeinit itself."""
        return Settings(**self.experimental_configs.get("nodeinit", EMPTY))

    def evolve(self, **changes: Any) -> Self:
        """A copy with some arguments of the constructor changed, checked again.

        `None` takes an argument back to its default. Raises `ConfigError`.
        """
        return type(self)(**arguments.changed(self, changes))

    def without_callbacks(self) -> Self:
        """A copy without callbacks, for processes in which they do not run; always the same one."""
        return self._bare if self.callbacks else self

    @functools.cached_property
    def _bare(self) -> Self:
        return self.evolve(callbacks=())

    def get_or_create_callbacks(self) -> tuple[Any, ...]:
        """The callback instances, in order: one per process and specification.

        Raises `ConfigError` for a callback that cannot be imported or made.
        """
        return tuple(_callbacks.get_or_create(spec) for spec in self.callbacks)

    def get_or_create_callback(self) -> Any:
        """The instance of the only callback, or `None` when there is none.

        Raises `ConfigError` when there are several, or when it cannot be imported or made.
        """
        if len(self.callbacks) > 1:
            names = ", ".join(spec.name for spec in self.callbacks)
            problem = f"there are {len(self.callbacks)}: {names}"
            remedy = "use get_or_create_callbacks()"
            raise ConfigError(Fault("callbacks", problem, remedy=remedy), source=self.model_id)
        return next(iter(self.get_or_create_callbacks()), None)

    def to_dict(self) -> dict[str, Any]:
        """The mapping of a YAML file that stands for this config: plain data, secrets included.

        Only what differs from the defaults. A callback or a server class that is an object is
        written as its name.
        """
        return convert.written(self, lambda spec: spec.name, _class_name)

    def __repr__(self) -> str:
        pairs = (f"{name}={value!r}" for name, value in redact(self.to_dict()).items())
        return f"LLMConfig({', '.join(pairs)})"


_HARDWARE_FIELDS = ("accelerator_config", "placement_group_config", "accelerator_type")


def _class_name(server_cls: Any) -> str:
    if isinstance(server_cls, str):
        return server_cls
    return CallbackSpec(server_cls).name

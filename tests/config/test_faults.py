"""Every fault of a config is reported with its place, line, value and remedy."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault

BASE = "model_loading_config:\n  model_id: llama-2-7b\n"
"""Two valid lines before each snippet, so that the snippet begins on line 3."""


def faults(tmp_path: Path, text: str) -> tuple[Fault, ...]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(file)
    assert str(file) in str(caught.value)
    return caught.value.faults


@attrs.frozen
class Case:
    snippet: str
    where: str
    value: str | None
    problem: str
    remedy: str
    line: int = 3


SIZES = [
    Case(f"engine_kwargs: {{{name}: {value}}}", f"engine_kwargs.{name}", value, problem, remedy)
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    for value, problem, remedy in (
        ("-1", "is less than 1", "write a whole number, 1 or more"),
        ("0", "is less than 1", "write a whole number, 1 or more"),
        ("1.5", "is a fraction, not a whole number", "write a whole number"),
        ("2.0", "is a fraction, not a whole number", "write 2"),
        (".nan", "is not a finite number", "write a number"),
        (".inf", "is not a finite number", "write a number"),
        ("true", "is a boolean, not a whole number", "write a whole number"),
        ("'8'", "is text, not a whole number", "write 8 without quotes"),
        ("eight", "is text, not a whole number", "write a whole number"),
        ("null", "is null (empty), not a whole number", "or remove the key"),
        ("[2]", "is a list, not a whole number", "write a whole number"),
    )
]

BUNDLES = [
    Case(
        f"placement_group_config: {{bundles: [{{CPU: 1}}, {{{resource}: {value}}}]}}",
        f"placement_group_config.bundles[1].{resource}",
        value,
        problem,
        remedy,
    )
    for resource, value, problem, remedy in (
        ("GPU", "-1", "is negative", "write 0 or more"),
        ("CPU", "-0.5", "is negative", "write 0 or more"),
        ("my_resource", "-1", "is negative", "write 0 or more"),
        ("GPU", ".nan", "is not a finite number", "write a number"),
        ("GPU", ".inf", "is not a finite number", "write a number"),
        ("CPU", "-.inf", "is not a finite number", "write a number"),
        ("GPU", "0.00005", "is less than Ray can count", "write 0.0001 or more"),
        ("memory", "0.00001", "is less than Ray can count", "write 0.0001 or more"),
        ("GPU", "1.5", "is a fraction above 1", "write a whole number, or a part of one"),
        ("TPU", "2.5", "is a fraction above 1", "write a whole number, or a part of one"),
        ("GPU", "'1'", "is text, not a number", "write 1 without quotes"),
        ("GPU", "1e-4", "is text, not a number", "write 0.0001 without quotes"),
        ("GPU", "true", "is a boolean, not a number", "write a number"),
        ("gpu", "1", "is not how Ray spells the resource", "did you mean 'GPU'?"),
        ("Cpu", "1", "is not how Ray spells the resource", "did you mean 'CPU'?"),
        ("Memory", "1", "is not how Ray spells the resource", "did you mean 'memory'?"),
    )
]

GROUPS = [
    Case(
        "placement_group_config: {bundles: []}",
        "placement_group_config.bundles",
        "[]",
        "has no bundle",
        "list one bundle per worker",
    ),
    Case(
        "placement_group_config: {bundles: [{}]}",
        "placement_group_config.bundles[0]",
        "{}",
        "asks for nothing",
        "give it a resource",
    ),
    Case(
        "placement_group_config: {bundle_per_worker: {CPU: 0, GPU: 0}}",
        "placement_group_config.bundle_per_worker",
        "{'CPU': 0, 'GPU': 0}",
        "asks for nothing",
        "give it a resource",
    ),
    Case(
        "placement_group_config: {bundles: [{GPU: 1}], bundle_per_worker: {GPU: 1}}",
        "placement_group_config",
        "{'bundles': [{'GPU': 1}], 'bundle_per_worker': {'GPU': 1}}",
        "has both bundles and bundle_per_worker",
        "keep bundle_per_worker for equal workers",
    ),
    Case(
        "placement_group_config: {bundles: [{GPU: 1}], placement_group_strategy: PACK}",
        "placement_group_config",
        "{'bundles': [{'GPU': 1}], 'placement_group_strategy': 'PACK'}",
        "mixes the names of vLLM and SGLang",
        "keep bundles and strategy",
    ),
    Case(
        "placement_group_config: {strategy: PACK}",
        "placement_group_config",
        "{'strategy': 'PACK'}",
        "says no bundles",
        "write bundles or bundle_per_worker",
    ),
    Case(
        "placement_group_config:\n  bundles: [{GPU: 1}]\n  strategy: STRICT-PACK",
        "placement_group_config.strategy",
        "STRICT-PACK",
        "is not known here",
        "did you mean 'STRICT_PACK'?",
        line=5,
    ),
    Case(
        "placement_group_config:\n  bundles: 2",
        "placement_group_config.bundles",
        "2",
        "is a whole number, not a list",
        "write a list",
        line=4,
    ),
]

HARDWARE = [
    Case(
        "accelerator_type: h100",
        "accelerator_type",
        "h100",
        "is not known here",
        "did you mean 'H100'?",
    ),
    Case(
        "accelerator_type: NVIDIA-A100-SXM4-80GB",
        "accelerator_type",
        "NVIDIA-A100-SXM4-80GB",
        "is not known here",
        "did you mean 'A100'?",
    ),
    Case(
        "accelerator_type: quantum",
        "accelerator_type",
        "quantum",
        "is not known here",
        "use one of A100, A100-40G",
    ),
    Case(
        "accelerator_type: 100",
        "accelerator_type",
        "100",
        "is a whole number, not text",
        "put quotes around it",
    ),
    Case(
        "accelerator_type: L4\nplacement_group_config: {bundles: [{CPU: 1}]}",
        "accelerator_type",
        "L4",
        "is a GPU, but the rest of the config asks for CPU",
        "remove it, or ask for GPU",
    ),
    Case(
        "accelerator_type: TPU-V6E\naccelerator_config: {kind: gpu}",
        "accelerator_type",
        "TPU-V6E",
        "is a TPU, but the rest of the config asks for GPU",
        "remove it, or ask for TPU",
    ),
    Case(
        "accelerator_config: {kind: tpu, topology: 4x4}",
        "accelerator_config.topology",
        "4x4",
        "needs an accelerator_type",
        "accelerator_type: TPU-V6E",
    ),
    Case(
        "accelerator_config: {kind: gpu, topology: 4x4}",
        "accelerator_config.topology",
        "4x4",
        "is only for kind: tpu",
        "remove it, or write kind: tpu",
    ),
    Case(
        "accelerator_config: {kind: Gpu}",
        "accelerator_config.kind",
        "Gpu",
        "is not known here",
        "did you mean 'gpu'?",
    ),
    Case(
        "accelerator_config: {}",
        "accelerator_config.kind",
        None,
        "is missing",
        "write kind: gpu, kind: cpu or kind: tpu",
    ),
]

UNKNOWN_KEYS = [
    Case(
        f"{parent}{key}: {value}",
        f"{where}{key}",
        value,
        "is an unknown key",
        remedy,
        line=3 + parent.count("\n"),
    )
    for parent, where, key, value, remedy in (
        ("", "", "engine_kwarg", "1", "did you mean 'engine_kwargs'?"),
        ("", "", "accelerator-type", "L4", "did you mean 'accelerator_type'?"),
        ("", "", "aplications", "1", "did you mean 'applications'?"),
        ("", "", "model_id", "llama", "write it as model_loading_config.model_id"),
        ("", "", "num_replicas", "2", "write it as deployment_config.num_replicas"),
        ("", "", "use_cpu", "true", "write it as accelerator_config: {kind: cpu}"),
        ("", "", "colour", "red", "known here: model_loading_config, llm_engine"),
        ("engine_kwargs:\n  ", "engine_kwargs.", "tensor_paralel_size", "2", "'tensor_parallel"),
        ("engine_kwargs:\n  ", "engine_kwargs.", "tensor-parallel-size", "2", "'tensor_parallel"),
        ("engine_kwargs:\n  ", "engine_kwargs.", "Data_Parallel_Size", "2", "'data_parallel_size'"),
        ("engine_kwargs:\n  ", "engine_kwargs.", "tp", "2", "did you mean 'tensor_parallel_size'?"),
        ("lora_config:\n  ", "lora_config.", "max_adapters", "2", "'max_num_adapters_per_replica'"),
        ("runtime_env:\n  ", "runtime_env.", "env_var", "2", "did you mean 'env_vars'?"),
        ("deployment_config:\n  ", "deployment_config.", "num_replica", "2", "'num_replicas'"),
        (
            "experimental_configs:\n  ",
            "experimental_configs.",
            "node_init",
            "{}",
            "did you mean 'nodeinit'?",
        ),
        (
            "experimental_configs:\n  ",
            "experimental_configs.",
            "num_router_replicas",
            "2",
            "did you mean 'num_ingress_replicas'?",
        ),
        (
            "experimental_configs:\n  nodeinit:\n    ",
            "experimental_configs.nodeinit.",
            "deadline",
            "2",
            "did you mean 'deadlines'?",
        ),
    )
]

NODEINIT = [
    Case(
        f"experimental_configs:\n  nodeinit:\n    {name}: {{download: {value}}}",
        f"experimental_configs.nodeinit.{name}.download",
        value,
        problem,
        remedy,
        line=5,
    )
    for name, value, problem, remedy in (
        ("deadlines", "0", "is not more than 0", "write seconds, more than 0"),
        ("deadlines", "-5.5", "is not more than 0", "write seconds, more than 0"),
        ("deadlines", "10 min", "is text, not a number", "write a number"),
        ("deadlines", ".inf", "is not a finite number", "write a number"),
        ("attempts", "0", "is less than 1", "write a whole number, 1 or more"),
        ("attempts", "2.5", "is a fraction, not a whole number", "write a whole number"),
    )
] + [
    Case(
        f"experimental_configs:\n  nodeinit:\n    {name}: {value}",
        f"experimental_configs.nodeinit.{name}",
        value,
        problem,
        remedy,
        line=5,
    )
    for name, value, problem, remedy in (
        ("store", "7", "is a whole number, not text", "put quotes around it"),
        ("store", "''", "is empty", "write some text"),
        ("replans", "-1", "is negative", "write a whole number, 0 or more"),
        ("hook_deadline", "0", "is not more than 0", "write seconds, more than 0"),
        ("span_tp", "'yes'", "is text, not true or false", "write true or false without quotes"),
        ("seed", "1.5", "is a fraction, not a whole number", "write a whole number"),
    )
]

DOWNLOAD = [
    Case(
        f"lora_config: {{{name}: {value}}}",
        f"lora_config.{name}",
        value,
        problem,
        remedy,
    )
    for name, value, problem, remedy in (
        ("download_timeout_s", "-1", "is negative", "write seconds, or null for no limit"),
        ("download_timeout_s", "soon", "is text, not a number", "write a number"),
        ("max_download_tries", "0", "is less than 1", "write a whole number, 1 or more"),
        ("max_num_adapters_per_replica", "0.5", "is a fraction", "write a whole number"),
        ("dynamic_lora_loading_path", "/loras", "is not the address of a bucket", "s3://, gs://"),
    )
]

CALLBACKS = [
    Case(
        f"callback_config: {{callback_class: {value}}}",
        "callback_config.callback_class",
        value,
        problem,
        remedy,
    )
    for value, problem, remedy in (
        ("42", "is a whole number, not text or a list", 'write "package.module:Class"'),
        ("true", "is a boolean, not text or a list", 'write "package.module:Class"'),
        ("MyCallback", "is not an import path", 'write "package.module:Class"'),
        ("my module:MyCallback", "is not an import path", 'write "package.module:Class"'),
        ("[]", "is an empty list", "name a callback"),
    )
] + [
    Case(
        "callback_config: {callback_class: {a: 1}}",
        "callback_config.callback_class",
        "{'a': 1}",
        "is a mapping, not text or a list",
        'write "package.module:Class"',
    ),
    Case(
        "callback_config:\n  callback_kwargs: {greeting: hello}",
        "callback_config.callback_kwargs",
        "{'greeting': 'hello'}",
        "is given without callback_class",
        "name the callback in callback_class",
        line=4,
    ),
    Case(
        "callback_config: {callback_class: ['a:B', 'c:D'], callback_kwargs: {x: 1}}",
        "callback_config.callback_kwargs",
        "{'x': 1}",
        "is ambiguous with several callbacks",
        "give each its own",
    ),
    Case(
        "callback_config:\n  callback_class:\n  - a:B\n  - callback_kwargs: {x: 1}",
        "callback_config.callback_class[1].callback_class",
        None,
        "is missing",
        "name the callback",
        line=6,
    ),
    Case(
        "callback_config: null",
        "callback_config",
        "null",
        "is null (empty), not a mapping",
        "or remove the key",
    ),
    Case(
        "callback_config: {raise_error_on_callback: 1}",
        "callback_config.raise_error_on_callback",
        "1",
        "is a whole number, not true or false",
        "write true or false",
    ),
]

OTHERS = [
    Case(
        "llm_engine: SGLang",
        "llm_engine",
        "SGLang",
        "is not known here",
        "use one of vLLM",
    ),
    Case(
        "server_cls: SGLangServer",
        "server_cls",
        "SGLangServer",
        "is not an import path",
        'write "package.module:Class"',
    ),
    Case(
        "engine_kwargs:",
        "engine_kwargs",
        "",
        "is null (empty), not a mapping",
        "write a mapping, or remove the key",
    ),
    Case(
        "engine_kwargs: {1: 2}",
        "engine_kwargs[1]",
        "2",
        "is a name that is not text",
        "put quotes around it",
    ),
    Case(
        "engine_kwargs: {model: llama}",
        "engine_kwargs.model",
        "llama",
        "is not taken from the engine's arguments",
        "name the model in model_loading_config",
    ),
    Case(
        "engine_kwargs: {disable_log_stats: true}",
        "engine_kwargs.disable_log_stats",
        "true",
        "turns off what log_engine_metrics needs",
        "set log_engine_metrics: false",
    ),
    Case(
        "engine_kwargs: {tensor_parallel_size: 2, tp_size: 4}",
        "engine_kwargs",
        "{'tensor_parallel_size': 2, 'tp_size': 4}",
        "has both tensor_parallel_size and tp_size",
        "keep one of the two",
    ),
    Case(
        "engine_kwargs: {released: 2024-01-01}",
        "engine_kwargs.released",
        "2024-01-01",
        "is a date to YAML",
        "put quotes around it",
    ),
    Case(
        "engine_kwargs: {released: 2024-13-01}",
        "engine_kwargs.released",
        "2024-13-01",
        "cannot be read: month must be in 1..12",
        "put quotes around it",
    ),
    Case(
        "engine_kwargs: {data: !!binary aGVsbG8=}",
        "engine_kwargs.data",
        "aGVsbG8=",
        "is binary data",
        "write it as text",
    ),
    Case(
        "engine_kwargs: {home: !env HOME}",
        "engine_kwargs.home",
        "HOME",
        "has the unknown tag '!env'",
        "remove the tag",
    ),
    Case(
        "engine_kwargs: {x: !!set {a, b}}",
        "engine_kwargs.x",
        None,
        "has the tag 'tag:yaml.org,2002:set'",
        "use plain lists and mappings",
    ),
    Case(
        "engine_kwargs: {x: {[1, 2]: 3}}",
        "engine_kwargs.x",
        None,
        "has a key that is a list or a mapping",
        "use text as the key",
    ),
    Case(
        "runtime_env: {env_vars: {WORKERS: 4}}",
        "runtime_env.env_vars.WORKERS",
        "4",
        "is a whole number, not text",
        "put quotes around it",
    ),
    Case(
        "deployment_config: {num_replicas: automatic}",
        "deployment_config.num_replicas",
        "automatic",
        "is neither a number nor auto",
        "write a whole number or auto",
    ),
    Case(
        "log_engine_metrics: on\nlog_engine_metrics: off",
        "log_engine_metrics",
        "off",
        "is given twice, first on line 3",
        "keep one of the two",
        line=4,
    ),
    Case(
        "engine_kwargs: {max_model_len: 1, max_model_len: 2}",
        "engine_kwargs.max_model_len",
        "2",
        "is given twice, first on line 3",
        "keep one of the two",
    ),
]


@pytest.mark.parametrize(
    "case",
    SIZES + BUNDLES + GROUPS + HARDWARE + UNKNOWN_KEYS + NODEINIT + DOWNLOAD + CALLBACKS + OTHERS,
    ids=lambda case: case.snippet.replace("\n", " "),
)
def test_a_fault_says_where_what_why_and_what_instead(tmp_path: Path, case: Case) -> None:
    (fault,) = faults(tmp_path, BASE + case.snippet + "\n")
    assert (fault.where, fault.line, fault.value) == (case.where, case.line, case.value)
    assert case.problem in fault.problem
    assert fault.remedy is not None
    assert case.remedy in fault.remedy
    for part in (case.where, f"line {case.line}", case.problem, case.remedy, case.value or ""):
        assert part in str(fault)


@pytest.mark.parametrize(
    ("text", "where", "line"),
    [
        ("accelerator_type: L4\n", "model_loading_config", 1),
        ("accelerator_type: L4\nmodel_loading_config: {}\n", "model_loading_config.model_id", 2),
        (
            "applications:\n- args:\n    llm_configs:\n    - model_loading_config:\n"
            "        model_source: x\n",
            "applications[0].args.llm_configs[0].model_loading_config.model_id",
            4,
        ),
    ],
)
def test_a_model_without_a_name(tmp_path: Path, text: str, where: str, line: int) -> None:
    (fault,) = faults(tmp_path, text)
    assert (fault.where, fault.line, fault.problem) == (where, line, "is missing")
    assert "model_id: llama-2-7b" in (fault.remedy or "")


@pytest.mark.parametrize(
    ("source", "where", "problem"),
    [
        ("model_source: 7", "model_source", "is a whole number, not text or a mapping"),
        ("model_source: ''", "model_source", "is empty"),
        ("model_source: {uri: s3://a/b}", "model_source.uri", "is an unknown key"),
        ("model_source: {bucket_uri: /m}", "model_source.bucket_uri", "not the address"),
        ("model_source: {bucket_uri: http://h/m}", "model_source.bucket_uri", "not the address"),
        (
            "model_source: {extra_files: [{bucket_uri: s3://a/b}]}",
            "model_source.extra_files[0].destination_path",
            "is missing",
        ),
        ("model_id: ''", "model_id", "is given twice"),
        ("tokenizer_source: [a]", "tokenizer_source", "is a list, not text"),
    ],
)
def test_a_bad_model_source(tmp_path: Path, source: str, where: str, problem: str) -> None:
    found = faults(tmp_path, f"{BASE}  {source}\n")
    assert (found[-1].where, found[-1].line) == (f"model_loading_config.{where}", 3)
    assert problem in found[0].problem


def test_all_faults_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """\
applications:
- args:
    llm_configs:
    - model_loading_config: {model_id: a}
      engine_kwargs:
        tensor_parallel_size: -1
        pipeline_parallel_size: 1.5
        tensor_parallel_size: 0
    - model_loading_config: {model_idd: b}
      accelerator_type: H10O
- args:
    llm_config:
      model_loading_config: {model_id: c}
      placement_group_config:
        bundles: [{gpu: 1}, {GPU: .nan}, {GPU: 2.5}]
      runtime_env: {env_vars: {HF_TOKEN: 12345}}
      colour: red
""",
    )
    first, second = (f"applications[0].args.llm_configs[{i}]." for i in range(2))
    third = "applications[1].args.llm_config."
    assert [(fault.where, fault.line) for fault in found] == [
        (f"{first}engine_kwargs.pipeline_parallel_size", 7),
        (f"{first}engine_kwargs.tensor_parallel_size", 8),
        (f"{second}model_loading_config.model_id", 9),
        (f"{second}model_loading_config.model_idd", 9),
        (f"{second}accelerator_type", 10),
        (f"{third}placement_group_config.bundles[0].gpu", 15),
        (f"{third}placement_group_config.bundles[1].GPU", 15),
        (f"{third}placement_group_config.bundles[2].GPU", 15),
        (f"{third}runtime_env.env_vars.HF_TOKEN", 16),
        (f"{third}colour", 17),
    ]


def test_a_call_in_python_is_checked_as_a_file_is() -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig(
            model_id="",
            callback="MyCallback",
            nodeinit={"deadlines": {"download": -1}},
            engine_kwargs={"tensor_parallel_size": float("nan"), "pipeline_paralel_size": 2},
            accelerator_typ="L4",  # type: ignore[arg-type]
            placement_group_config={"bundles": [{"GPU": True}]},
        )
    assert caught.value.source == "LLMConfig(...)"
    assert {(fault.where, fault.value) for fault in caught.value.faults} == {
        ("model_id", "''"),
        ("callback", "'MyCallback'"),
        ("nodeinit.deadlines.download", "-1"),
        ("engine_kwargs.tensor_parallel_size", "nan"),
        ("engine_kwargs.pipeline_paralel_size", "2"),
        ("accelerator_typ", "'L4'"),
        ("placement_group_config.bundles[0].GPU", "True"),
    }
    assert "did you mean 'accelerator_type'?" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "where", "problem"),
    [
        ({"model_loading_config": {"model_id": "b"}}, "model_id", "is given beside"),
        (
            {"nodeinit": {}, "experimental_configs": {"nodeinit": {}}},
            "nodeinit",
            "is given beside experimental_configs.nodeinit",
        ),
        (
            {"callback": "a:B", "callback_config": {"callback_class": "a:B"}},
            "callback",
            "is given beside callback_config",
        ),
        ({"callback_kwargs": {"x": 1}}, "callback_kwargs", "is given without callback_class"),
        ({"callback": 3}, "callback", "is a whole number, not text or a list"),
        ({"callback": ["a:B", 3]}, "callback[1]", "is a whole number, not text or a mapping"),
        ({"server_cls": 3}, "server_cls", "is a whole number, not text"),
        ({"engine_kwargs": [1]}, "engine_kwargs", "is a list, not a mapping"),
        ({"engine_kwargs": {"x": bytearray(b"1")}}, "engine_kwargs.x", "is a bytearray"),
        ({"engine_kwargs": {"x": {("a",): 1}}}, "engine_kwargs.x", "has a key that is a tuple"),
        ({"runtime_env": {"env_vars": {"A": 1}}}, "runtime_env.env_vars.A", "is a whole number"),
    ],
)
def test_faults_that_only_a_call_has(asked: dict[str, object], where: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig(model_id="a", **asked)  # type: ignore[arg-type]
    (fault,) = caught.value.faults
    assert fault.where == where
    assert problem in fault.problem


def test_a_mapping_that_contains_itself_is_refused() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    with pytest.raises(ConfigError, match="does it contain itself"):
        LLMConfig(model_id="a", engine_kwargs=endless)

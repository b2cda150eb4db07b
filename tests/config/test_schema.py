"""The schema is sound, says something for every rule, and agrees with what we refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from nodeinit.config import LLMConfig, json_schema
from nodeinit.config.schema import validator

OURS = {"x-problem", "x-remedy", "x-refuse-misspelt", "x-moved"}


def nodes(schema: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for name, value in schema.items():
            if name not in OURS:
                yield from nodes(value, f"{path}/{name}")
    elif isinstance(schema, list):
        for i, value in enumerate(schema):
            yield from nodes(value, f"{path}/{i}")


def test_it_is_a_schema_of_draft_2020_12() -> None:
    schema = json_schema()
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_every_caller_gets_a_copy() -> None:
    json_schema()["$defs"].clear()
    assert json_schema()["$defs"]


def test_every_reference_leads_somewhere() -> None:
    schema = json_schema()
    names = {node["$ref"] for _, node in nodes(schema) if isinstance(node.get("$ref"), str)}
    assert names == {f"#/$defs/{name}" for name in schema["$defs"]}


def test_every_field_is_described() -> None:
    definitions = json_schema()["$defs"]
    for field in definitions["llm_config"]["properties"].values():
        name = field.get("$ref", "").rpartition("/")[2]
        assert field.get("description") or definitions[name]["description"]
    assert all("description" in field for field in definitions["nodeinit"]["properties"].values())


def test_words_are_only_given_for_rules_that_exist() -> None:
    for path, node in nodes(json_schema()):
        for words in ("x-problem", "x-remedy"):
            assert set(node.get(words, {})) <= set(node), f"{path}/{words}"


def test_every_rule_that_has_no_words_of_its_own_has_some_in_the_schema() -> None:
    # These are put into words by code; the others would come out as "breaks the rule 'x'".
    generic = {"type", "enum", "required", "additionalProperties", "propertyNames", "minLength"}
    quiet = {"if", "then", "else", "allOf", "properties", "items", "$ref", "$defs", *OURS}
    quiet |= {"default", "description", "title", "$schema"}
    for path, node in nodes(json_schema()):
        inside_a_condition = "/if" in path or "/not" in path or "/anyOf" in path
        if inside_a_condition or path.endswith(("/properties", "/$defs", "/dependentRequired")):
            continue
        for rule in set(node) - generic - quiet:
            assert rule in node.get("x-problem", {}), f"{path}/{rule}"
            assert rule in node.get("x-remedy", {}), f"{path}/{rule}"


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        ({"model_loading_config": {"model_id": "a"}}, True),
        ({"applications": [{"args": {"llm_configs": ["a.yaml"]}}]}, True),
        ({"model_loading_config": {"model_id": "a"}, "colour": 1}, False),
        ({"applications": [{"args": {"llm_configs": [{}]}}]}, False),
    ],
)
def test_editors_that_know_only_the_standard_get_the_same_answer(data: Any, valid: bool) -> None:
    assert Draft202012Validator(json_schema()).is_valid(data) is valid
    assert validator().is_valid(data) is valid


def test_what_a_config_writes_is_valid_to_the_standard() -> None:
    config = LLMConfig(
        model_id="a",
        model_source={"bucket_uri": "s3://b/c"},
        placement_group_config={"bundles": [{"GPU": 0.5}, {"GPU": 2}]},
        callback=["a:B", "c:D"],
        nodeinit={"seed": 1},
    )
    Draft202012Validator(json_schema()).validate(config.to_dict())

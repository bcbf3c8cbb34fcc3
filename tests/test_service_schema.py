"""Requests made from the OpenAPI document, valid and not: no route fails or answers undeclared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks
from service_process import serving
from workspaces import new_workspace

LONG = os.environ.get("KN_EDIT_TORTURE") == "1"
CASES = 2000 if LONG else 200  # of all routes together
TAGS = {"history", "facts", "branches and tags", "jobs", "verbs"}
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The routes of a running service whose jobs wait: each request is answered at once."""
    with new_workspace(tmp_path_factory.mktemp("schema")) as workspace:
        workspace.branch("other")
        workspace.tag("v1")
    with serving(workspace.folder, "--workers", "0") as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
        every = (operation.ok() for operation in schema.get_all_operations())
        yield [operation for operation in every if TAGS & {*operation.tags}]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_every_answer_is_declared(operations: list[Any], mode: GenerationMode) -> None:
    assert len(operations) > 30
    count = -(-CASES // (2 * len(operations)))
    answers: list[int] = []
    for number, operation in enumerate(operations):
        answers += statuses(operation, mode, count, seed=number)
    assert len(answers) >= CASES // 2 * 0.8
    if mode is GenerationMode.POSITIVE:
        assert {200, 202, 404, 422} <= {*answers}


def statuses(operation: Any, mode: GenerationMode, count: int, seed: int) -> list[int]:
    """What a route answered to so many requests, of which each was checked."""
    answered: list[int] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call_and_validate(checks=CHECKS, timeout=60)
        answered.append(answer.status_code)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:  # nothing about this route can be wrong
        assert mode is GenerationMode.NEGATIVE
    return answered


def test_the_document_is_of_openapi_3_1_with_an_example_for_each_verb(
    operations: list[Any],
) -> None:
    document = operations[0].schema.raw_schema
    assert document["openapi"].startswith("3.1")
    for path, route in document["paths"].items():
        for method, operation in route.items():
            if TAGS & {*operation.get("tags", ())}:
                assert operation["summary"], (method, path)


def test_every_route_declares_what_is_answered_before_it_is_reached(operations: list[Any]) -> None:
    before = {"401", "403", "408", "413", "421", "422", "429"}
    tagged = TAGS | {"openai", "answers", "access"}
    for path, route in operations[0].schema.raw_schema["paths"].items():
        for method, operation in route.items():
            if tagged & {*operation.get("tags", ())}:
                assert before <= {*operation["responses"]}, (method, path)
    for operation in operations:
        named = {each.name: "1" for each in operation.path_parameters}
        case = operation.Case(headers={"Host": "elsewhere.example"}, path_parameters=named)
        answer = case.call(timeout=60)
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code == 421, operation.label

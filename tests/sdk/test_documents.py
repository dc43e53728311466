"""The SDK's documents fit our schema, and nothing stands at its root that nobody asks."""

from functools import cache
from pathlib import Path

from fixtures_sdk import SdkOperation
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
    validate_schema,
)

from frameworks.control.bridge.api import access
from frameworks.control.bridge.api.schema import read_sdl
from frameworks.control.bridge.transport import limits

EMPTY = {"GetRecentPullSourceEvents", "ListPushTargets"}
"""Valid because `Stream` is whole, but nothing pulls or pushes on here: their lists stay empty."""

CONSOLE = Path(__file__).parents[2] / "web" / "console" / "src"


@cache
def schema() -> GraphQLSchema:
    return build_schema(read_sdl())


def root_fields(document: DocumentNode) -> set[str]:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    return {s.name.value for o in operations for s in o.selection_set.selections if isinstance(s, FieldNode)}


def console_documents() -> list[DocumentNode]:
    return [parse(path.read_text()) for path in sorted(CONSOLE.rglob("*.graphql"))]


def test_the_schema_is_valid() -> None:
    assert validate_schema(schema()) == []


def test_every_answered_operation_is_valid(
    answered: list[str], sdk_operations: dict[str, SdkOperation]
) -> None:
    ours = schema()
    problems = {name: validate(ours, sdk_operations[name].document) for name in answered}
    assert {name: found for name, found in problems.items() if found} == {}


def test_every_operation_that_is_valid_is_listed(
    answered: list[str], sdk_operations: dict[str, SdkOperation]
) -> None:
    ours = schema()
    valid = {
        name for name, found in sdk_operations.items() if not validate(ours, found.document, max_errors=1)
    }
    assert valid == set(answered) | EMPTY


def test_every_root_field_is_asked_by_someone(
    answered: list[str], sdk_operations: dict[str, SdkOperation]
) -> None:
    asked: set[str] = set()
    for name in answered:
        asked |= root_fields(sdk_operations[name].document)
    for document in console_documents():
        asked |= root_fields(document)
    ours = schema()
    roots = [ours.query_type, ours.mutation_type, ours.subscription_type]
    assert {name for root in roots if root for name in root.fields} <= asked


def test_the_consoles_documents_are_valid() -> None:
    ours = schema()
    assert [error for document in console_documents() for error in validate(ours, document)] == []


def test_every_root_field_has_a_rule() -> None:
    ours = schema()
    roots = [r for r in (ours.query_type, ours.mutation_type, ours.subscription_type) if r]
    named = {f"{root.name}.{field}" for root in roots for field in root.fields}
    assert named <= set(access.ACCESS)
    assert {"Stream.streamKey", "Stream.metrics"} <= set(access.ACCESS)


def test_every_operation_is_within_the_limits_at_the_largest_page(
    sdk_operations: dict[str, SdkOperation],
) -> None:
    for operation in sdk_operations.values():
        limits.check_shape(operation.document)
        limits.check(operation.document, operation.node, {"page": {"first": 500}})

"""The published SDK's operations: documents, their response models, and variables that fit."""

import ast
import importlib
import importlib.util
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLSchema,
    OperationDefinitionNode,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    parse,
    type_from_ast,
)

CLIENT = "livepeer_frameworks._generated.graphql.async_client"
VALUES: dict[str, Any] = {
    "ID": "01890000-0000-7000-8000-000000000001",
    "String": "text",
    "Int": 5,
    "Float": 1.5,
    "Boolean": True,
    "JSON": None,
}
INSTANTS = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}


@dataclass(frozen=True)
class SdkOperation:
    """One operation as the SDK sends it; `method` is what its clients call it."""

    name: str
    method: str
    text: str
    document: DocumentNode
    model: Any

    @property
    def node(self) -> OperationDefinitionNode:
        """Its definition."""
        return next(d for d in self.document.definitions if isinstance(d, OperationDefinitionNode))

    @property
    def kind(self) -> str:
        """query, mutation or subscription."""
        return self.node.operation.value

    def variables(self, schema: GraphQLSchema) -> dict[str, Any]:
        """Values for the required variables, and a page for those that take one."""
        found: dict[str, Any] = {}
        for definition in self.node.variable_definitions or ():
            name = definition.variable.name.value
            kind: Any = type_from_ast(schema, definition.type)
            if name == "page":
                found[name] = {"first": 50, "after": None}
            elif name == "timeRange":
                found[name] = dict(INSTANTS)
            elif is_non_null_type(kind):
                found[name] = _value(kind.of_type)
        return found


def _value(kind: Any) -> Any:
    if is_list_type(kind):
        return []
    if is_enum_type(kind):
        return next(iter(kind.values))
    if is_input_object_type(kind):
        required = {n: f.type.of_type for n, f in kind.fields.items() if is_non_null_type(f.type)}
        return {name: _value(inner) for name, inner in required.items()}
    return VALUES[kind.name]


def _texts() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    spec = importlib.util.find_spec(CLIENT)
    assert spec is not None
    assert spec.origin is not None
    for method in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if not isinstance(method, ast.AsyncFunctionDef | ast.FunctionDef):
            continue
        for call in ast.walk(method):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "gql":
                text = ast.literal_eval(call.args[0])
                document = parse(text)
                node = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
                assert node.name is not None
                found[node.name.value] = (method.name, text)
    return found


@pytest.fixture(scope="session")
def answered() -> list[str]:
    """Names of the operations Bridge answers."""
    listed = (Path(__file__).parent / "sdk" / "answered.txt").read_text().splitlines()
    return [line for line in listed if line and not line.startswith("#")]


@pytest.fixture(scope="session")
def sdk_operations() -> dict[str, SdkOperation]:
    """Every operation of the SDK by name."""
    client = importlib.import_module(CLIENT)
    methods = client.AsyncGraphQLClient
    found = {}
    for name, (method, text) in _texts().items():
        result = typing.get_type_hints(getattr(methods, method))["return"]
        document = parse(text)
        operation = SdkOperation(name, method, text, document, result)
        model = typing.get_args(result)[0] if operation.kind == "subscription" else result
        found[name] = SdkOperation(name, method, text, document, model)
    return found

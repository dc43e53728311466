"""Parsed and validated documents, kept by hash in a bounded cache."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    validate,
)

from frameworks.control.bridge.transport import limits
from frameworks.control.bridge.transport.errors import (
    PARSE_FAILED,
    TOO_COMPLEX,
    VALIDATION_FAILED,
    of_document,
)
from frameworks.control.bridge.transport.request import Refused, refuse

MAX_TOKENS = 12_000
MAX_ERRORS = 10
DOCUMENT_ERROR = 422


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a valid document and the top-level fields it asks for."""

    document: DocumentNode
    node: OperationDefinitionNode
    kind: str
    name: str
    fields: frozenset[str]
    cost: int = 0
    """What it costs with the variables it was asked with."""


class Documents:
    """Turns text into operations; a document seen before costs a hash."""

    def __init__(self, schema: GraphQLSchema, *, size: int = 1000) -> None:
        self._schema = schema
        self._size = size
        self._cache: OrderedDict[bytes, dict[str, Operation]] = OrderedDict()

    def operation(self, query: str, name: str | None) -> Operation:
        """The operation called `name`, or the only one; raises Refused with 422."""
        operations = self._operations(query)
        if name is not None:
            if name not in operations:
                raise refuse(DOCUMENT_ERROR, f"There is no operation {name[:80]!r}.", VALIDATION_FAILED)
            return operations[name]
        if len(operations) != 1:
            raise refuse(DOCUMENT_ERROR, "Say which operation with `operationName`.", VALIDATION_FAILED)
        return next(iter(operations.values()))

    def _operations(self, query: str) -> dict[str, Operation]:
        key = hashlib.blake2b(query.encode(errors="surrogatepass"), digest_size=20).digest()
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
            return found
        found = self._read(query)
        self._cache[key] = found
        if len(self._cache) > self._size:
            self._cache.popitem(last=False)
        return found

    def _read(self, query: str) -> dict[str, Operation]:
        document = _parse(query)
        try:
            limits.check_shape(document)
            errors = validate(self._schema, document, max_errors=MAX_ERRORS)
        except limits.OverLimit as error:
            raise refuse(DOCUMENT_ERROR, str(error), TOO_COMPLEX) from error
        except RecursionError as error:
            raise refuse(DOCUMENT_ERROR, "The document is nested too deeply.", TOO_COMPLEX) from error
        if errors:
            raise Refused(DOCUMENT_ERROR, of_document(errors, VALIDATION_FAILED))
        nodes = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        return {n.name.value if n.name else "": _operation(document, n) for n in nodes}


def _parse(query: str) -> DocumentNode:
    try:
        return parse(query, max_tokens=MAX_TOKENS)
    except GraphQLError as error:
        raise Refused(DOCUMENT_ERROR, of_document([error], PARSE_FAILED)) from error
    except RecursionError as error:
        raise refuse(DOCUMENT_ERROR, "The document is nested too deeply.", PARSE_FAILED) from error


def _operation(document: DocumentNode, node: OperationDefinitionNode) -> Operation:
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    fields: set[str] = set()
    _top_fields(node.selection_set, fragments, fields, set())
    return Operation(
        document, node, node.operation.value, node.name.value if node.name else "", frozenset(fields)
    )


def _top_fields(
    selection: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    found: set[str],
    seen: set[str],
) -> None:
    for node in selection.selections:
        if isinstance(node, FieldNode):
            found.add(node.name.value)
        elif isinstance(node, InlineFragmentNode):
            _top_fields(node.selection_set, fragments, found, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            _top_fields(fragments[node.name.value].selection_set, fragments, found, seen)

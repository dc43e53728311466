"""What a document may cost: how deep it goes and how many objects it may bring, before anything runs.

Scalars are free. An object costs 1; what is under a paged field is multiplied by one for every ten rows asked
for (fifty when the page does not say), so that ten times the page costs about ten times as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    Visitor,
    visit,
)

MAX_DEPTH = 10
MAX_COST = 1000
MAX_PAIRS = 100_000
"""How many pairs of fields with one answer key a document may hold."""
ROWS_PER_UNIT = 10
DEFAULT_ROWS = 50
MAX_ROWS = 500

_PAGED_BY = frozenset({"page", "first", "last", "limit"})


class OverLimit(Exception):
    """The document asks for too much; the message says how much is allowed."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What a selection comes to."""

    depth: int
    cost: int


class Scales:
    """Weighs operations of one document, each fragment once."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        self._weighed: dict[str, Weight] = {}
        self._defaults: Mapping[str, ValueNode | None] = {}

    def weigh(self, operation: OperationDefinitionNode) -> Weight:
        """Depth and cost of `operation` with the variables given."""
        self._defaults = {
            d.variable.name.value: d.default_value for d in operation.variable_definitions or ()
        }
        return self._selection(operation.selection_set)

    def _selection(self, selection: SelectionSetNode) -> Weight:
        weights = [self._node(node) for node in selection.selections]
        return Weight(
            max((w.depth for w in weights), default=0),
            sum(w.cost for w in weights),
        )

    def _node(self, node: object) -> Weight:
        if isinstance(node, FieldNode):
            return self._field(node)
        if isinstance(node, InlineFragmentNode):
            return self._selection(node.selection_set)
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        return Weight(0, 0)

    def _field(self, node: FieldNode) -> Weight:
        # Introspection is free here: validation has its own bound on how deep that goes.
        if node.selection_set is None or node.name.value.startswith("__"):
            return Weight(1, 0)
        inner = self._selection(node.selection_set)
        return Weight(inner.depth + 1, 1 + inner.cost * self._multiplier(node))

    def _fragment(self, name: str) -> Weight:
        if name not in self._weighed:
            self._weighed[name] = Weight(0, 0)
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._weighed[name] = self._selection(fragment.selection_set)
        return self._weighed[name]

    def _multiplier(self, node: FieldNode) -> int:
        paged = node.name.value.endswith("Connection")
        rows = None
        for argument in node.arguments or ():
            if argument.name.value in _PAGED_BY:
                paged = True
                rows = rows or self._rows(argument.value)
        if not paged:
            return 1
        return max(1, -(-min(rows or DEFAULT_ROWS, MAX_ROWS) // ROWS_PER_UNIT))

    def _rows(self, value: ValueNode | None) -> int | None:
        if isinstance(value, VariableNode):
            name = value.name.value
            if name not in self._variables:
                return self._rows(self._defaults.get(name))
            return _given_rows(self._variables[name])
        if isinstance(value, IntValueNode):
            return int(value.value)
        if isinstance(value, ObjectValueNode):
            sizes = [self._rows(f.value) for f in value.fields if f.name.value in _PAGED_BY]
            return max((size for size in sizes if size is not None), default=None)
        return None


def _given_rows(value: object) -> int | None:
    if isinstance(value, Mapping):
        sizes = [value.get(name) for name in ("first", "last")]
        return max((size for size in sizes if isinstance(size, int)), default=None)
    return value if isinstance(value, int) else None


def check(document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Weight:
    """The operation's weight; raises OverLimit beyond `MAX_DEPTH` or `MAX_COST`."""
    weight = Scales(document, variables).weigh(operation)
    if weight.depth > MAX_DEPTH:
        raise OverLimit(f"The operation is {weight.depth} levels deep; {MAX_DEPTH} are allowed.")
    if weight.cost > MAX_COST:
        raise OverLimit(
            f"The operation costs {weight.cost}; {MAX_COST} are allowed. Ask for fewer objects or rows."
        )
    return weight


def check_shape(document: DocumentNode) -> None:
    """Refuse what is costly merely to validate: merging compares fields of one name pairwise."""
    names = _Names()
    visit(document, names)
    if sum(count * count for count in names.counts.values()) > MAX_PAIRS:
        raise OverLimit("The document names the same fields too often.")


class _Names(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def enter_field(self, node: FieldNode, *_: object) -> None:
        key = (node.alias or node.name).value
        self.counts[key] = self.counts.get(key, 0) + 1

"""The console's GraphQL documents fit the schema, stay within its limits, and use what was made for them."""

from pathlib import Path

import pytest
from graphql import FieldNode, OperationDefinitionNode, build_schema, parse, validate

from frameworks.control.bridge.api.schema import read_sdl
from frameworks.control.bridge.transport import limits

DOCUMENTS = sorted((Path(__file__).parents[4] / "web/console/src/graphql").glob("*.graphql"))
SCHEMA = build_schema(read_sdl())
LARGEST = {"first": 60}
"""Page sizes the console sends."""


def operation(path: Path) -> OperationDefinitionNode:
    """The one operation of a document."""
    (found,) = (d for d in parse(path.read_text()).definitions if isinstance(d, OperationDefinitionNode))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_fits_the_schema(path: Path) -> None:
    assert [error.message for error in validate(SCHEMA, parse(path.read_text()))] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_stays_within_the_limits(path: Path) -> None:
    limits.check(parse(path.read_text()), operation(path), LARGEST)


def test_documents_are_used_and_imported_ones_exist() -> None:
    sources = DOCUMENTS[0].parents[1]
    files = (path for kind in ("*.ts", "*.svelte") for path in sources.rglob(kind))
    text = "\n".join(path.read_text() for path in files)
    assert [path.name for path in DOCUMENTS if f"/{path.name}?raw" not in text] == []


def test_the_console_uses_the_fields_made_for_it() -> None:
    roots = {
        selection.name.value
        for path in DOCUMENTS
        for selection in operation(path).selection_set.selections
        if isinstance(selection, FieldNode)
    }
    assert {"me", "refusedIngestsConnection", "pipelineStatus"} <= roots
    assert len(roots) >= 20


def test_every_operation_has_a_name_for_the_log() -> None:
    assert [path.name for path in DOCUMENTS if operation(path).name is None] == []

"""Documents: what is cached, what is refused before it costs anything."""

import pytest
from graphql import build_schema, get_introspection_query, parse
from hypothesis import given
from hypothesis import strategies as st

from frameworks.control.bridge.transport import limits
from frameworks.control.bridge.transport.documents import Documents
from frameworks.control.bridge.transport.request import Refused

SCHEMA = build_schema("""
  type Query { a: Query, rowsConnection(page: Page, first: Int): Query, s: String }
  input Page { first: Int = 50 }
""")


def weigh(text: str, variables: dict[str, object] | None = None) -> limits.Weight:
    document = parse(text)
    return limits.Scales(document, variables or {}).weigh(document.definitions[0])  # type: ignore[arg-type]


def refusal(text: str, name: str | None = None) -> str:
    with pytest.raises(Refused) as refused:
        Documents(SCHEMA).operation(text, name)
    assert refused.value.status == 422
    code: str = refused.value.errors[0]["extensions"]["code"]
    return code


def test_a_document_is_parsed_once() -> None:
    documents = Documents(SCHEMA)
    assert documents.operation("{ s }", None) is documents.operation("{ s }", None)


def test_the_cache_is_bounded() -> None:
    documents = Documents(SCHEMA, size=1)
    first = documents.operation("{ s }", None)
    documents.operation("{ a { s } }", None)
    assert documents.operation("{ s }", None) is not first


def test_an_operation_is_chosen_by_name() -> None:
    both = "query A { s } query B { a { s } }"
    documents = Documents(SCHEMA)
    assert documents.operation(both, "B").fields == {"a"}
    assert refusal(both) == "GRAPHQL_VALIDATION_FAILED"
    assert refusal(both, "C") == "GRAPHQL_VALIDATION_FAILED"


def test_fields_at_the_top_are_found_through_fragments() -> None:
    text = "{ ...F ... on Query { a { s } } } fragment F on Query { s }"
    assert Documents(SCHEMA).operation(text, None).fields == {"s", "a"}


@pytest.mark.parametrize("text", ["{" * 5000, "{a" * 5000 + "}" * 5000, "{ s " * 9000])
def test_nesting_without_end_is_refused(text: str) -> None:
    assert refusal(text) == "GRAPHQL_PARSE_FAILED"


def test_naming_one_field_thousands_of_times_is_refused_before_it_is_compared() -> None:
    assert refusal("{" + "s " * 2000 + "}") == "COMPLEXITY_LIMIT_EXCEEDED"


def test_depth_is_counted_through_fragments() -> None:
    deep = "{ a { ...F } } fragment F on Query { a { a { s } } }"
    assert weigh(deep).depth == 4


def test_the_eleventh_level_is_too_deep() -> None:
    text = "{ " + "a { " * 10 + "s" + " }" * 11
    document = parse(text)
    with pytest.raises(limits.OverLimit):
        limits.check(document, document.definitions[0], {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("page", "variables", "cost"),
    [
        ("", {}, 6),
        ("(page: {first: 100})", {}, 11),
        ("(first: 500)", {}, 51),
        ("(page: $p)", {"p": {"first": 20}}, 3),
        ("(first: $n)", {"n": 10}, 2),
        ("(first: $n)", {}, 4),
        ("(first: 1000000000)", {}, 51),
    ],
)
def test_a_page_costs_by_its_rows(page: str, variables: dict[str, object], cost: int) -> None:
    text = f"query($p: Page, $n: Int = 30) {{ rowsConnection{page} {{ a {{ s }} }} }}"
    assert weigh(text, variables).cost == cost


def test_introspection_is_open_but_not_without_end() -> None:
    documents = Documents(SCHEMA)
    operation = documents.operation(get_introspection_query(), None)
    limits.check(operation.document, operation.node, {})
    nested = "{ __schema { types { " + "fields { type { " * 4 + "name" + " } }" * 4 + " } } }"
    assert refusal(nested) == "GRAPHQL_VALIDATION_FAILED"


@given(st.text(alphabet='{}()[]:$!@."as_ \n#1\\', max_size=60))
def test_any_text_is_an_operation_or_refused(text: str) -> None:
    try:
        Documents(SCHEMA).operation(text, None)
    except Refused as refused:
        status = refused.status
    else:
        status = 422
    assert status == 422

"""`answered.txt` is exactly what the tests beside it prove: each listed operation is called in a test that says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

from fixtures_sdk import SdkOperation

HERE = Path(__file__).parent


def proofs() -> Iterator[tuple[ast.AsyncFunctionDef, list[str], str]]:
    """Every test marked `@answers(…)`, the operations it names, and its module's text."""
    for path in sorted(HERE.glob("test_answered_*.py")):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "answers":
                        yield node, [ast.literal_eval(name) for name in mark.args], text


def declared() -> set[str]:
    """Operations that some test says it proves."""
    return {name for _, names, _ in proofs() for name in names}


def test_the_list_is_what_the_tests_prove(answered: list[str]) -> None:
    assert sorted(answered) == sorted(declared())


def test_only_tests_that_run_prove_anything() -> None:
    assert all(test.name.startswith("test_") for test, _, _ in proofs())


def test_every_proof_calls_its_operation(sdk_operations: dict[str, SdkOperation]) -> None:
    """The module of a proof calls the method the SDK has for the operation."""
    missing = {
        name
        for _, names, text in proofs()
        for name in names
        if f".{sdk_operations[name].method}(" not in text
    }
    assert missing == set()


def test_at_least_fifty_operations_are_answered(answered: list[str]) -> None:
    assert len(answered) >= 50

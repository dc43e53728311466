"""One JSON object a line, and no secret in any."""

import io
import json
import logging

import pytest

from frameworks.kit import log, trace
from frameworks.kit.log import SECRET_FIELDS


def logged(**facts: object) -> dict[str, object]:
    """What a line says that was logged with `facts`."""
    stream = io.StringIO()
    log.setup(stream=stream)
    log.get("mist", node="n1").info("stream.started", **facts)
    line: dict[str, object] = json.loads(stream.getvalue())
    return line


def test_a_line_says_what_happened_where_and_when() -> None:
    line = logged(stream_id="s1")
    assert (line["event"], line["service"], line["node"], line["stream_id"]) == (
        "stream.started",
        "mist",
        "n1",
        "s1",
    )
    assert line["level"] == "info"
    assert str(line["timestamp"]).endswith("Z")


@pytest.mark.parametrize("field", sorted(SECRET_FIELDS))
def test_a_secret_is_never_written(field: str) -> None:
    assert logged(**{field: "sk_hunter2"})[field] == "[redacted]"


def test_a_line_says_the_trace_of_what_is_served_unless_it_names_one() -> None:
    assert "trace" not in logged()
    token = trace.current.set("0af7651916cd43dd8448eb211c80319c")
    assert logged()["trace"] == "0af7651916cd43dd8448eb211c80319c"
    assert logged(trace="another")["trace"] == "another"
    trace.current.reset(token)


def test_lines_below_the_level_are_dropped() -> None:
    stream = io.StringIO()
    log.setup("WARNING", stream=stream)
    log.get("mist").info("stream.started")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("pretty", [False, True])
def test_a_traceback_does_not_show_variables(pretty: bool) -> None:
    stream = io.StringIO()
    log.setup(stream=stream, pretty=pretty)
    try:
        token = "sk_" + "hunter2"
        raise ValueError(len(token))
    except ValueError as error:
        log.get("mist").error("stream.failed", exc_info=error)
    assert "ValueError" in stream.getvalue()
    assert "sk_hunter2" not in stream.getvalue()


def test_what_a_library_warns_of_is_a_line_too() -> None:
    stream = io.StringIO()
    for _ in range(2):
        log.setup(stream=stream)
    logging.getLogger("some.library").warning("%s is odd", "this")
    logging.getLogger("some.library").debug("nothing")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["library"], line["message"]) == (
        "library.reported",
        "some.library",
        "this is odd",
    )

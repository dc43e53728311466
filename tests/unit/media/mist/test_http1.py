"""The HTTP parser and ranges: strict, bounded, and never surprised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.mist.protocols.http1 import MAX_HEAD, BadRequest, RequestParser, byte_range


def parse(data: bytes, *cuts: int) -> list[str]:
    """Targets of the requests in `data`, fed in pieces."""
    parser, found, start = RequestParser(), list[str](), 0
    for end in (*sorted(cuts), len(data)):
        parser.feed(data[start:end])
        start = end
        while (request := parser.next()) is not None:
            found.append(request.target)
    return found


TWO = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\nCookie: a=b; tkn=t\r\n\r\nHEAD /b%2Bc HTTP/1.1\r\nhost: h\r\n\r\n"


@given(st.lists(st.integers(0, len(TWO)), max_size=6))
def test_requests_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    assert parse(TWO, *cuts) == ["/a?x=1", "/b%2Bc"]


def test_a_request_is_taken_apart() -> None:
    parser = RequestParser()
    parser.feed(TWO)
    request, second = parser.next(), parser.next()
    assert request is not None
    assert second is not None
    assert (request.method, request.path, request.query, request.cookie("tkn")) == (
        "GET",
        "/a",
        {"x": "1"},
        "t",
    )
    assert second.path == "/b+c"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET nothing HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"x: y\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 200,
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /?" + b"&".join(b"a%d=1" % n for n in range(50)) + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_what_is_not_a_request_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(data)


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=4))
def test_garbage_raises_nothing_but_bad_request(data: bytes, cuts: list[int]) -> None:
    status = 400
    try:
        parse(data, *cuts)
    except BadRequest as refused:
        status = refused.status
    assert status in (400, 413, 431)


@given(st.text(max_size=30), st.integers(1, 1000))
def test_any_range_is_within_the_body_or_ignored_or_refused(header: str, size: int) -> None:
    found, status = None, 416
    try:
        found = byte_range(header, size)
    except BadRequest as refused:
        status = refused.status
    assert status == 416
    assert found is None or 0 <= found[0] <= found[1] < size


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=5-", (5, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=2-100", (2, 9)),
        ("bytes=-100", (0, 9)),
        ("bytes=0-1,3-4", None),
        ("bytes=5-2", None),
        ("items=0-1", None),
    ],
)
def test_a_range_is_understood(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=-0", "bytes=99999999999999999-"])
def test_a_range_beyond_the_end_is_refused(header: str) -> None:
    with pytest.raises(BadRequest):
        byte_range(header, 10)

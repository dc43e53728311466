"""Forwarded addresses are believed from named proxies only."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.proxies import NONE, Proxies

OURS = Proxies.named(("10.0.0.0/8", "unix"))


def scope(client: tuple[str, int] | None, **headers: str) -> dict[str, Any]:
    """A request with forwarding headers."""
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"type": "http", "scheme": "http", "client": client, "headers": [(b"host", b"inside"), *pairs]}


def test_a_stranger_is_not_believed_and_its_headers_are_removed() -> None:
    seen = OURS.apply(scope(("203.0.113.9", 5), x_forwarded_for="1.2.3.4", x_forwarded_proto="https"))
    assert seen["client"] == ("203.0.113.9", 5)
    assert seen["scheme"] == "http"
    assert seen["headers"] == [(b"host", b"inside")]


def test_nobody_is_believed_by_default() -> None:
    assert NONE.apply(scope(("127.0.0.1", 5), x_forwarded_for="1.2.3.4"))["client"] == ("127.0.0.1", 5)


def test_a_named_proxy_is_believed() -> None:
    seen = OURS.apply(
        scope(
            ("10.1.1.1", 5),
            x_forwarded_for="1.2.3.4",
            x_forwarded_proto="https",
            x_forwarded_host="tv.example",
        )
    )
    assert seen["client"] == ("1.2.3.4", 0)
    assert seen["scheme"] == "https"
    assert (b"host", b"tv.example") in seen["headers"]


def test_what_a_client_wrote_before_our_proxies_is_not_believed() -> None:
    seen = OURS.apply(scope(("10.1.1.1", 5), x_forwarded_for="6.6.6.6, 1.2.3.4, 10.2.2.2"))
    assert seen["client"] == ("1.2.3.4", 0)


def test_a_unix_socket_can_be_a_proxy() -> None:
    assert OURS.apply(scope(None, x_forwarded_for="1.2.3.4"))["client"] == ("1.2.3.4", 0)


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_any_header_leaves_an_address_or_the_proxys(chain: str) -> None:
    request = scope(("10.1.1.1", 5))
    request["headers"].append((b"x-forwarded-for", chain.encode("latin-1")))
    assert OURS.apply(request)["client"]


def test_a_proxy_that_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Proxies.named(("nonsense",))

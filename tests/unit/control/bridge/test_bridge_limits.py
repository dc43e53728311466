"""Limits as people meet them in GraphQL: a full stream, and the refused encoders of a whole tenant."""

import httpx
import pytest
from fixtures_bridge import INSTANT, BridgeFactory, FakeBridge

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn

WATCH = '{ resolveViewerEndpoint(contentId: "pb0123456789abcd") { primary { url } } }'
REFUSED = """
    query($after: String) {
      refusedIngestsConnection(page: {first: 1, after: $after}) {
        totalCount nodes { reason message } pageInfo { hasNextPage endCursor }
      }
    }
"""


async def ask(bridge: FakeBridge, query: str, **variables: str) -> httpx.Response:
    """One document of a tenant that may read streams."""
    transport = httpx.ASGITransport(bridge.app)
    headers = {"authorization": f"Bearer {bridge.token('streams:read')}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge", headers=headers) as client:
        return await client.post("/graphql", json={"query": query, "variables": variables})


async def test_a_full_stream_has_a_code_of_its_own_and_a_time_to_ask_again(
    make_bridge: BridgeFactory,
) -> None:
    bridge = make_bridge(script={"ResolveViewer": foghorn.ViewerEndpoints(state="full")})
    (error,) = (await ask(bridge, WATCH)).json()["errors"]
    assert "plan" in error["message"]
    assert error["extensions"]["code"] == "STREAM_FULL"
    assert error["extensions"]["retry_after_ms"] == 10_000


async def test_refused_encoders_are_listed_over_all_streams_page_by_page(make_bridge: BridgeFactory) -> None:
    found = [
        commodore.RefusedIngest(id=f"r{n}", reason=reason, message="Because.", refused_at=INSTANT - n)
        for n, reason in enumerate(("BITRATE_LIMIT", "DUPLICATE_INGEST"))
    ]
    bridge = make_bridge(script={"ListRefusedIngests": commodore.RefusedIngests(refused=found)})
    first = (await ask(bridge, REFUSED)).json()["data"]["refusedIngestsConnection"]
    assert (first["totalCount"], first["nodes"][0]["reason"]) == (2, "BITRATE_LIMIT")
    after = first["pageInfo"]["endCursor"]
    second = (await ask(bridge, REFUSED, after=after)).json()["data"]["refusedIngestsConnection"]
    assert (second["nodes"][0]["reason"], second["pageInfo"]["hasNextPage"]) == ("DUPLICATE_INGEST", False)
    assert {
        request.stream_id for name, request, _ in bridge.commodore.calls if name == "ListRefusedIngests"
    } == {""}


@pytest.mark.parametrize("state", ["offline", "starting"])
async def test_a_stream_that_is_not_on_says_so_still(make_bridge: BridgeFactory, state: str) -> None:
    bridge = make_bridge(script={"ResolveViewer": foghorn.ViewerEndpoints(state=state)})
    (error,) = (await ask(bridge, WATCH)).json()["errors"]
    assert error["extensions"]["code"] == f"STREAM_{state.upper()}"

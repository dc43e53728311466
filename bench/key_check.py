"""Claim: a stream key is answered within 30 ms at the 95th percentile, whether it holds or not.

From the trigger PUSH_REWRITE at Helmsman's door to the answer in hand: Helmsman, Commodore, PostgreSQL, the ingest
claim. Each valid key is of a stream nobody pushed before. The limit it is held against, measured by turns in the same
run: the same POST answered by a bare uvicorn application that reads the body and says yes.

    python bench/key_check.py [--requests 200]
"""

import argparse
import asyncio
import sys
import time
from typing import Any

import httpx
import uvicorn
from running import Platform, free_port, holds, running, show

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.kit.clock import random_text
from frameworks.kit.host import ProcessHost

BOUND = 0.030
PLAN = {"PURSER_FREE_MAX_STREAMS": "100000", "PURSER_FREE_MAX_LIVE_STREAMS": "100000"}


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The limit: says yes."""
    more = scope["type"] == "http"
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def keys(platform: Platform, count: int) -> list[str]:
    """The keys of so many fresh streams of one tenant."""
    host = ProcessHost({"FRAMEWORKS_DATA_DIR": str(platform.data)}, rules={})
    stub: Any = host.peer(CommodoreServiceStub, service="cli")
    user = await stub.EnsureUser(
        commodore.EnsureUserRequest(email="bench@example.test", password=random_text(16), first_name="Bench")
    )
    made = [
        await stub.EnsureStream(commodore.EnsureStreamRequest(tenant_id=user.tenant_id, title=f"Bench {n}"))
        for n in range(count)
    ]
    await host.close()
    return [stream.stream_key for stream in made]


async def answered(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], key: str, verdict: bytes | None
) -> float:
    """Seconds until one trigger is answered, as it should be when `verdict` says how."""
    body = f"rtmp://127.0.0.1/live/{key}\n127.0.0.1\n{key}".encode()
    began = time.perf_counter()
    answer = await client.post(url, content=body, headers=headers)
    took = time.perf_counter() - began
    if verdict is not None and not answer.content.startswith(verdict):
        raise SystemExit(f"{key[:6]}… was answered {answer.status_code} {answer.text!r}")
    return took


async def measure(platform: Platform, bare_port: int, count: int) -> bool:
    """Ask by turns, print the three distributions; whether the claim holds."""
    url = platform.trigger("PUSH_REWRITE")
    valid = await keys(platform, count + 5)
    unknown = ["sk_" + random_text(32) for _ in valid]
    known, refused, nothing = list[float](), list[float](), list[float]()
    async with httpx.AsyncClient(timeout=20.0, trust_env=False) as client:
        for good, bad in zip(valid, unknown, strict=True):
            first, second = (platform.trigger_headers("PUSH_REWRITE") for _ in range(2))
            nothing.append(await answered(client, f"http://127.0.0.1:{bare_port}/", first, good, None))
            known.append(await answered(client, url, first, good, b"live+"))
            refused.append(await answered(client, url, second, bad, b""))
    limit = show("a bare POST", nothing[5:])
    good_p95, bad_p95 = show("a valid key", known[5:]), show("an unknown key", refused[5:])
    kept = [
        holds(what, figure * 1000, BOUND * 1000, "ms", limit=limit * 1000)
        for what, figure in (("a valid key", good_p95), ("an unknown key", bad_p95))
    ]
    return all(kept)


async def main(count: int) -> bool:
    """Serve the bare application in a process of its own, as Helmsman is in one, and measure."""
    port = free_port()
    child = await asyncio.create_subprocess_exec(sys.executable, __file__, "--serve", str(port))
    try:
        with running(demo=True, env=PLAN) as platform:
            return await measure(platform, port, count)
    finally:
        child.terminate()
        await child.wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=200)
    arguments.add_argument("--serve", type=int)
    chosen = arguments.parse_args()
    if chosen.serve:
        uvicorn.run(
            bare, host="127.0.0.1", port=chosen.serve, http="httptools", log_level="error", access_log=False
        )
    else:
        sys.exit(not asyncio.run(main(chosen.requests)))

"""Claim: a call between two services of one process costs at most 20 µs of processor time.

The call is complete: deadline, service token, permission rule, trace, encoding both ways, a task of its own in an
empty context, metrics. The limit, measured by turns in the same run on the same loop, is what none of it can go
below: a bare task that is created, switched to, and awaited. Of many short rounds the least counts, of both: a
neighbour on the same core slows them alike, and only ever adds. The medians are printed beside.

    python bench/loopback.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.wrappers_pb2 import StringValue
from running import holds, tell_machine

from frameworks.kit.clock import SystemClock
from frameworks.kit.identity import Identity, Rule, TrustStore, Verifier, register_service
from frameworks.kit.rpc import Call, Channel, Dispatcher, Loopback

PATH = "/frameworks.echo.v1.EchoService/Say"
CALLS = 2_000
ROUNDS = 60
BOUND = 20.0


class Echo:
    """Answers what it is asked."""

    async def Say(self, request: StringValue, call: Call) -> StringValue:
        """The same text."""
        return StringValue(value=request.value)


def service() -> ServiceDescriptor:
    """The descriptor of a service with one method, made without a compiler."""
    file = descriptor_pb2.FileDescriptorProto(
        name="frameworks/echo/v1/echo.proto",
        package="frameworks.echo.v1",
        dependency=["google/protobuf/wrappers.proto"],
        syntax="proto3",
    )
    text = ".google.protobuf.StringValue"
    file.service.add(name="EchoService").method.add(name="Say", input_type=text, output_type=text)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("frameworks.echo.v1.EchoService")


def stub(directory: Path) -> Any:
    """`Say`, called as bridge through the loopback."""
    for name in ("bridge", "echo"):
        register_service(directory, name)
    trust, clock = TrustStore(directory), SystemClock()
    dispatcher = Dispatcher(Verifier(trust, clock), {PATH: Rule.allow(services=["bridge"])})
    dispatcher.add(service(), Echo(), service="echo")
    loopback = Loopback(dispatcher)
    channel = Channel(lambda _: loopback, Identity("bridge", trust.private_key("bridge"), clock))
    return channel.unary_unary(
        PATH,
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
        _registered_method=True,
    )


async def nothing() -> None:
    """What the bare task does."""


async def bare() -> None:
    """The limit: one task created, run and awaited."""
    await asyncio.get_running_loop().create_task(nothing())


async def microseconds(work: Callable[[], Awaitable[Any]]) -> float:
    """Mean processor time of `work` over many calls."""
    started = time.process_time()
    for _ in range(CALLS):
        await work()
    return (time.process_time() - started) / CALLS * 1e6


async def main() -> bool:
    """Measure both by turns; whether the claim holds."""
    tell_machine()
    with tempfile.TemporaryDirectory() as directory:
        say, request = stub(Path(directory)), StringValue(value="hello")

        async def call() -> None:
            await say(request)

        await call()
        pairs = [(await microseconds(bare), await microseconds(call)) for _ in range(ROUNDS)]
    tasks, calls = zip(*pairs, strict=True)
    print(f"medians: call {statistics.median(calls):.3g} us, bare task {statistics.median(tasks):.3g} us")
    return holds("loopback call", min(calls), BOUND, "us", limit=min(tasks))


if __name__ == "__main__":
    sys.exit(not uvloop.run(main()))

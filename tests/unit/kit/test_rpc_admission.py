"""What the dispatcher remembers of callers, and for how long."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from fixtures_echo import RULES, Echo, identity

from frameworks.kit.clock import FakeClock, SystemClock
from frameworks.kit.errors import Forbidden, Precondition, Unauthenticated
from frameworks.kit.identity import TrustStore, Verifier
from frameworks.kit.rpc import Channel, Dispatcher, Loopback


async def test_a_services_token_is_remembered_no_longer_than_it_lasts(
    echo_pb: Any, echo_trust: TrustStore
) -> None:
    messages, stubs = echo_pb
    clock = FakeClock(datetime.now(UTC))
    dispatcher = Dispatcher(Verifier(echo_trust, clock), RULES, clock=clock)
    dispatcher.add(messages.DESCRIPTOR.services_by_name["EchoService"], Echo(messages), service="echo")
    loopback = Loopback(dispatcher)
    stub = stubs.EchoServiceStub(Channel(lambda _: loopback, None))
    shown = (("authorization", f"Bearer {identity(echo_trust, 'bridge').bearer('echo')}"),)
    for _ in range(2):
        await stub.Say(messages.Note(text="hello"), metadata=shown)
    with pytest.raises(Forbidden):
        await stub.Read(messages.Note(), metadata=shown)
    await clock.advance(400)
    with pytest.raises(Unauthenticated):
        await stub.Say(messages.Note(text="hello"), metadata=shown)


async def test_a_call_given_up_before_it_began_leaves_nothing_behind(
    echo_pb: Any, echo_trust: TrustStore
) -> None:
    messages, stubs = echo_pb
    clock = FakeClock(datetime.now(UTC))
    dispatcher = Dispatcher(Verifier(echo_trust, clock), RULES, clock=clock)
    echo = Echo(messages)
    dispatcher.add(messages.DESCRIPTOR.services_by_name["EchoService"], echo, service="echo")
    loopback = Loopback(dispatcher)
    stub = stubs.EchoServiceStub(Channel(lambda _: loopback, identity(echo_trust, "bridge")))
    assert stub.Say(messages.Note(text="wait")).cancel()
    del stub
    await loopback.close()
    assert not loopback.busy
    assert not echo.calls


async def test_a_task_is_named_for_the_method_it_serves(echo_pb: Any, echo_trust: TrustStore) -> None:
    messages, stubs = echo_pb
    dispatcher = Dispatcher(Verifier(echo_trust, SystemClock()), RULES)
    echo = Echo(messages)
    service = messages.DESCRIPTOR.services_by_name["EchoService"]
    dispatcher.add(service, echo, service="echo")
    loopback = Loopback(dispatcher)
    stub = stubs.EchoServiceStub(Channel(lambda _: loopback, identity(echo_trust, "bridge")))
    call = stub.Say(messages.Note(text="wait"))
    await echo.reached.wait()
    assert f"/{service.full_name}/Say" in {task.get_name() for task in asyncio.all_tasks()}
    call.cancel()
    await loopback.close()


async def test_a_method_is_found_once_it_is_offered(echo_pb: Any, echo_trust: TrustStore) -> None:
    messages, stubs = echo_pb
    dispatcher = Dispatcher(Verifier(echo_trust, SystemClock()), RULES)
    loopback = Loopback(dispatcher)
    stub = stubs.EchoServiceStub(Channel(lambda _: loopback, identity(echo_trust, "bridge")))
    with pytest.raises(Precondition):
        await stub.Say(messages.Note(text="hello"))
    dispatcher.add(messages.DESCRIPTOR.services_by_name["EchoService"], Echo(messages), service="echo")
    assert (await stub.Say(messages.Note(text="hello", number=1))).number == 2

"""What the dispatcher remembers of callers, and for how long."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fixtures_echo import RULES, Echo, identity

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Forbidden, Unauthenticated
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

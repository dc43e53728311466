"""One suite for both ways a call can travel: `Loopback` in process, and `grpc.aio` over a socket."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fixtures_echo import LEAK, RULES, TENANT, Echo, Side, identity, user_token

from frameworks.kit import trace
from frameworks.kit.clock import SystemClock
from frameworks.kit.errors import (
    Forbidden,
    Kind,
    Limited,
    NotFound,
    Precondition,
    Refusal,
    Unauthenticated,
    Unavailable,
)
from frameworks.kit.identity import Principal, PrincipalKind, TrustStore, Verifier
from frameworks.kit.rpc import Call, Channel, Dispatcher, Loopback, connect
from frameworks.kit.rpc.call import Sent


async def test_a_call_is_answered(side: Side) -> None:
    assert (await side.stub.Say(side.note("hello", 1))).number == 2


async def test_the_servicer_knows_who_calls_and_until_when(side: Side) -> None:
    await side.stub.Say(side.note("hello"), timeout=30)
    call = side.echo.calls[0]
    left = call.time_left()
    assert call.principal.kind is PrincipalKind.SERVICE
    assert call.principal.subject == "bridge"
    assert left is not None
    assert 0 < left <= 30.5


async def test_a_call_without_a_timeout_has_the_default_deadline(side: Side) -> None:
    await side.stub.Say(side.note("hello"))
    left = side.echo.calls[0].time_left()
    assert left is not None
    assert left <= 5.5


async def test_the_callers_message_is_not_the_servicers(side: Side) -> None:
    sent = side.note("hello", 1)
    await side.stub.Say(sent)
    side.echo.request.text = "changed"
    assert sent.text == "hello"


async def test_a_refusal_arrives_with_its_kind_code_and_sentence(side: Side) -> None:
    with pytest.raises(NotFound, match="no such note — nö") as caught:
        await side.stub.Say(side.note("refuse"))
    assert caught.value.code == "echo.no_such_note"
    assert caught.value.kind is Kind.MISSING
    assert "secret_row" not in caught.value.facts


async def test_when_waiting_helps_the_caller_is_told_how_long(side: Side) -> None:
    with pytest.raises(Limited) as caught:
        await side.stub.Say(side.note("busy"))
    assert caught.value.facts["retry_after"] == 3.0


@pytest.mark.parametrize("text", ["bug", "cancelled bug", "wrong type", "large"])
async def test_a_bug_is_hidden_behind_an_incident_that_our_log_explains(
    side: Side, text: str, echo_log: io.StringIO
) -> None:
    with pytest.raises(Unavailable, match=r"incident [a-z0-9]{10}") as caught:
        await side.stub.Say(side.note(text))
    assert caught.value.kind is Kind.INTERNAL
    assert "secret" not in str(vars(caught.value))
    line = next(
        line for line in map(json.loads, echo_log.getvalue().splitlines()) if line["event"] == "call.failed"
    )
    assert line["incident"] in caught.value.message
    assert "Traceback" in line["exception"]


async def test_a_deadline_ends_the_call_on_both_sides(side: Side) -> None:
    with pytest.raises(Unavailable) as caught:
        await side.stub.Say(side.note("wait"), timeout=0.2)
    await side.echo.cancelled.wait()
    assert caught.value.kind is Kind.TIMEOUT
    assert caught.value.code == "rpc.deadline"


async def test_a_caller_that_is_cancelled_cancels_the_servicer(side: Side) -> None:
    async def call() -> None:
        await side.stub.Say(side.note("wait"))

    task = asyncio.create_task(call())
    await side.echo.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await side.echo.cancelled.wait()


async def test_a_call_can_be_given_up(side: Side) -> None:
    call = side.stub.Say(side.note("wait"))
    await side.echo.reached.wait()
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    await side.echo.cancelled.wait()


async def test_trailing_metadata_arrives(side: Side) -> None:
    call = side.stub.Say(side.note("trailing"))
    await call
    assert ("seen-by", "echo") in list(await call.trailing_metadata())


async def test_interceptors_run_in_order_after_the_caller_is_known(side: Side) -> None:
    await side.stub.Say(side.note("hello"))
    assert side.order == ["first in bridge", "second in bridge", "second out", "first out"]


async def test_a_method_nobody_serves_is_not_offered(side: Side) -> None:
    with pytest.raises(Precondition) as caught:
        await side.stub.Unserved(side.note())
    assert caught.value.code == "rpc.unimplemented"


async def test_a_method_without_a_rule_is_denied_before_the_servicer(side: Side) -> None:
    with pytest.raises(Forbidden) as caught:
        await side.stub.Unruled(side.note())
    assert caught.value.code == "auth.no_rule"
    assert not side.echo.reached.is_set()
    assert side.order == []


async def test_a_service_the_rule_does_not_name_is_refused(side: Side, echo_trust: TrustStore) -> None:
    with pytest.raises(Forbidden):
        await side.stub_as(identity(echo_trust, "commodore")).Say(side.note())
    assert not side.echo.calls


async def test_without_a_credential_only_public_methods_answer(side: Side) -> None:
    anonymous = side.stub_as(None)
    assert (await anonymous.Open(side.note("hi"))).text == "hi"
    assert side.echo.calls[0].principal.kind is PrincipalKind.PUBLIC
    with pytest.raises(Unauthenticated):
        await anonymous.Say(side.note())


@pytest.mark.parametrize("value", ["Bearer nonsense", "Basic dTpw", "Bearer", ""])
async def test_a_bad_credential_is_refused_even_where_none_is_needed(side: Side, value: str) -> None:
    with pytest.raises(Unauthenticated):
        await side.stub.Open(side.note(), metadata=(("authorization", value),))


async def test_two_different_credentials_are_refused(side: Side, echo_trust: TrustStore) -> None:
    metadata = [
        ("authorization", f"Bearer {identity(echo_trust, name).bearer('echo')}")
        for name in ("bridge", "commodore")
    ]
    with pytest.raises(Unauthenticated):
        await side.stub.Say(side.note(), metadata=metadata)


async def test_a_users_call_carries_its_tenant(side: Side, echo_trust: TrustStore) -> None:
    metadata = (("authorization", f"Bearer {user_token(echo_trust, 'notes:read')}"),)
    assert (await side.stub.Read(side.note(), metadata=metadata)).text == str(TENANT)


async def test_a_user_without_the_scope_is_refused(side: Side, echo_trust: TrustStore) -> None:
    with pytest.raises(Forbidden, match="notes:read"):
        await side.stub.Read(side.note(), metadata=(("authorization", f"Bearer {user_token(echo_trust)}"),))


async def test_forwarding_keeps_the_caller_the_trace_and_the_deadline(
    side: Side, echo_trust: TrustStore
) -> None:
    metadata = (("authorization", f"Bearer {user_token(echo_trust, 'notes:read')}"),)
    await side.stub.Read(side.note(), metadata=metadata, timeout=2)
    first = side.echo.calls[0]
    await side.stub.Read(side.note(), metadata=first.forward(), timeout=60)
    second = side.echo.calls[1]
    left = second.time_left()
    assert second.principal == first.principal
    assert second.trace == first.trace
    assert left is not None
    assert left < 3


async def test_forwarding_a_public_call_does_not_lend_it_the_services_credential(side: Side) -> None:
    await side.stub_as(None).Open(side.note())
    with pytest.raises(Unauthenticated):
        await side.stub.Say(side.note(), metadata=side.echo.calls[0].forward())


async def test_forwarding_a_services_credential_elsewhere_is_refused(
    side: Side, echo_trust: TrustStore
) -> None:
    elsewhere = (("authorization", f"Bearer {identity(echo_trust, 'bridge').bearer('commodore')}"),)
    with pytest.raises(Unauthenticated):
        await side.stub.Say(side.note(), metadata=elsewhere)


async def test_a_trace_goes_along(side: Side) -> None:
    token = trace.current.set("0123456789abcdef0123456789abcdef")
    await side.stub.Say(side.note())
    trace.current.reset(token)
    assert side.echo.calls[0].trace == "0123456789abcdef0123456789abcdef"


async def test_no_context_variable_crosses(side: Side) -> None:
    token = LEAK.set("the caller's")
    await side.stub.Say(side.note())
    await side.stub.Say(side.note())
    seen = LEAK.get()
    LEAK.reset(token)
    assert side.echo.leaks == ["nothing", "nothing"]
    assert seen == "the caller's"


async def test_a_request_over_the_limit_is_too_large(side: Side) -> None:
    with pytest.raises(Refusal) as caught:
        await side.stub.Say(side.note("x" * (9 << 20)))
    assert caught.value.kind is Kind.TOO_LARGE
    assert not side.echo.calls


async def test_many_calls_at_once_do_not_mix(side: Side) -> None:
    replies = await asyncio.gather(*(side.stub.Say(side.note("n", number)) for number in range(200)))
    assert [reply.number for reply in replies] == list(range(1, 201))


async def test_a_service_that_is_away_is_unavailable(
    tmp_path: Path, echo_pb: Any, echo_trust: TrustStore
) -> None:
    messages, stubs = echo_pb
    channel = connect(f"unix:{tmp_path}/nobody.sock")
    stub = stubs.EchoServiceStub(Channel(lambda _: channel, identity(echo_trust, "bridge")))
    with pytest.raises(Unavailable) as caught:
        await stub.Say(messages.Note())
    await channel.close()
    assert caught.value.code == "rpc.unavailable"
    assert str(tmp_path) not in caught.value.message


async def test_a_closed_loopback_is_unavailable_and_has_ended_its_calls(
    echo_pb: Any, echo_trust: TrustStore
) -> None:
    messages, stubs = echo_pb
    dispatcher = Dispatcher(Verifier(echo_trust, SystemClock()), RULES)
    echo = Echo(messages)
    dispatcher.add(messages.DESCRIPTOR.services_by_name["EchoService"], echo, service="echo")
    loopback = Loopback(dispatcher)
    stub = stubs.EchoServiceStub(Channel(lambda _: loopback, identity(echo_trust, "bridge")))
    waiting = stub.Say(messages.Note(text="wait"))
    await echo.reached.wait()
    await loopback.close()
    assert echo.cancelled.is_set()
    for call in (waiting, stub.Say(messages.Note())):
        with pytest.raises(Unavailable):
            await call


async def test_a_servicer_with_a_method_the_service_lacks_is_refused_at_start(
    echo_pb: Any, echo_trust: TrustStore
) -> None:
    class Misspelt:
        async def Sya(self, request: Any, call: Call) -> Any:
            """Not a method of the service."""

    messages, _ = echo_pb
    with pytest.raises(ValueError, match="Sya"):
        Dispatcher(Verifier(echo_trust, SystemClock()), RULES).add(
            messages.DESCRIPTOR.services_by_name["EchoService"], Misspelt(), service="echo"
        )


def test_a_call_of_someone_without_a_tenant_has_none() -> None:
    principal = Principal(PrincipalKind.SERVICE, "bridge")
    call = Call("/x/Y", principal, Sent(None, "t", None), SystemClock(), None)
    with pytest.raises(Forbidden):
        _ = call.tenant
    assert call.time_left() is None

"""gRPC over TLS: verified by a CA file, renewed without a restart, and never clear by accident."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from fixtures_echo import RULES, Echo, identity
from fixtures_tls import Authority, new_authority

from frameworks.kit.clock import SystemClock
from frameworks.kit.config import BadSetting
from frameworks.kit.errors import Unavailable
from frameworks.kit.host.settings import ClearText, HostSettings, check_clear
from frameworks.kit.identity import TrustStore, Verifier
from frameworks.kit.rpc import Channel, Dispatcher, RpcServer, connect
from frameworks.kit.tls import RenewedCertificate, TlsFiles, channel_credentials


@dataclass
class Place:
    """A TLS listener of the echo service, its files and its authority."""

    folder: Path
    authority: Authority
    address: str
    pb: Any
    stubs: Any
    trust: TrustStore

    @property
    def files(self) -> tuple[Path, Path]:
        """Certificate and key."""
        return self.folder / "c.pem", self.folder / "k.pem"

    @asynccontextmanager
    async def calling(self, ca: Path | None) -> AsyncIterator[Any]:
        """A stub that verifies with `ca`, or speaks clear text."""
        transport = connect(self.address, channel_credentials(ca) if ca else None)
        yield self.stubs.EchoServiceStub(Channel(lambda _: transport, identity(self.trust, "bridge")))
        await transport.close()

    async def serial(self) -> int:
        """The certificate a new handshake is shown."""
        host, _, port = self.address.rpartition(":")
        pem = await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture
async def place(echo_pb: Any, echo_trust: TrustStore, tmp_path: Path) -> AsyncIterator[Place]:
    """The echo service over TLS."""
    messages, stubs = echo_pb
    authority = new_authority()
    authority.issue(tmp_path / "c.pem", tmp_path / "k.pem")
    authority.keep(tmp_path / "ca.pem")
    dispatcher = Dispatcher(Verifier(echo_trust, SystemClock()), RULES)
    dispatcher.add(messages.DESCRIPTOR.services_by_name["EchoService"], Echo(messages), service="echo")
    server = RpcServer(dispatcher, "echo")
    credentials = RenewedCertificate(TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem")).credentials()
    address = server.bind("127.0.0.1:0", setting="FRAMEWORKS_PEER_ECHO", credentials=credentials)
    await server.start()
    yield Place(tmp_path, authority, address, messages, stubs, echo_trust)
    await server.stop(0)


async def test_a_call_goes_through_tls(place: Place) -> None:
    async with place.calling(place.folder / "ca.pem") as stub:
        assert (await stub.Say(place.pb.Note(text="hello", number=1))).number == 2
        assert [note.number async for note in stub.Repeat(place.pb.Note(number=3))] == [0, 1, 2]


async def test_a_listener_of_another_authority_is_unavailable(place: Place) -> None:
    stranger = new_authority("a stranger").keep(place.folder / "stranger.pem")
    async with place.calling(stranger) as stub:
        with pytest.raises(Unavailable) as caught:
            await stub.Say(place.pb.Note())
    assert caught.value.code == "rpc.untrusted"
    assert "FRAMEWORKS_RPC_TLS_CA" in caught.value.message


async def test_a_listener_that_speaks_no_tls_is_unavailable(place: Place) -> None:
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1") as clear:
        place.address = f"127.0.0.1:{clear.sockets[0].getsockname()[1]}"
        async with place.calling(place.folder / "ca.pem") as stub:
            with pytest.raises(Unavailable):
                await stub.Say(place.pb.Note())


async def test_a_clear_call_to_a_tls_listener_is_unavailable(place: Place) -> None:
    async with place.calling(None) as stub:
        with pytest.raises(Unavailable, match="TLS only"):
            await stub.Say(place.pb.Note())
        with pytest.raises(Unavailable, match="TLS only"):
            [note async for note in stub.Repeat(place.pb.Note(number=3))]


async def test_a_new_certificate_is_shown_without_a_restart_and_open_calls_go_on(place: Place) -> None:
    before = await place.serial()
    async with place.calling(place.folder / "ca.pem") as stub:
        await stub.Say(place.pb.Note())
        issued = place.authority.issue(*place.files)
        assert await place.serial() == issued != before
        assert (await stub.Say(place.pb.Note(number=7))).number == 8
    async with place.calling(place.folder / "ca.pem") as stub:
        assert (await stub.Say(place.pb.Note(number=1))).number == 2


async def test_files_that_do_not_fit_leave_the_old_certificate(place: Place) -> None:
    before = await place.serial()
    place.files[0].write_text("nonsense")
    assert await place.serial() == before
    place.files[0].unlink()
    assert await place.serial() == before
    issued = place.authority.issue(*place.files)
    assert await place.serial() == issued


@pytest.mark.parametrize("address", ["0.0.0.0:7000", "10.0.0.7:7000", "[::]:7000", "node.example:7000"])
def test_clear_text_off_this_machine_must_be_asked_for(address: str) -> None:
    for allowed in (ClearText.LOOPBACK, ClearText.NEVER):
        with pytest.raises(BadSetting, match="FRAMEWORKS_RPC_CLEAR"):
            check_clear(address, allowed, "FRAMEWORKS_PEER_DECKLOG")
    check_clear(address, ClearText.ANYWHERE, "FRAMEWORKS_PEER_DECKLOG")


@pytest.mark.parametrize("address", ["127.0.0.1:7000", "[::1]:7000", "localhost:7000"])
def test_clear_text_on_this_machine_is_for_development(address: str) -> None:
    assert HostSettings().rpc_clear is ClearText.LOOPBACK
    check_clear(address, ClearText.LOOPBACK, "FRAMEWORKS_PEER_DECKLOG")
    with pytest.raises(BadSetting):
        check_clear(address, ClearText.NEVER, "FRAMEWORKS_PEER_DECKLOG")
    check_clear("unix:/run/decklog.sock", ClearText.NEVER, "FRAMEWORKS_PEER_DECKLOG")


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(BadSetting, match="verify peers"):
            channel_credentials(tmp_path / name)

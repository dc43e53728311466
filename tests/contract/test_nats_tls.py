"""The event log over TLS: records pass in both directions, and a server nobody vouches for gets none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fixtures_tls import new_authority

from frameworks.engines.nats import Nats
from frameworks.kit.eventlog import MAX_VALUE, EventLogAway, Outgoing, connect


class EncryptedNats(Nats):
    """A server that speaks nothing but TLS after its greeting."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "nats")
        self._folder = folder

    def _write_config(self) -> None:
        super()._write_config()
        files = f'cert_file: "{self._folder}/c.pem", key_file: "{self._folder}/k.pem"'
        with (self._folder / "nats" / "nats.conf").open("a") as config:
            config.write(f"tls {{ {files} }}\n")


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of such a server; its authority is in `ca.pem`."""
    authority = new_authority()
    authority.issue(tmp_path / "c.pem", tmp_path / "k.pem")
    authority.keep(tmp_path / "ca.pem")
    server = EncryptedNats(tmp_path)
    await server.start()
    yield server.url.replace("nats://", "tls://")
    await server.stop()


async def test_records_pass_both_ways(
    encrypted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    log = await connect(encrypted)
    await log.ensure("t", partitions=1)
    sent = [bytes([number]) * size for number, size in enumerate([0, 1, 20_000, MAX_VALUE, 5])]
    await log.publish([Outgoing("t", 0, value, {"size": f"{len(value)}"}) for value in sent])
    found = [(record.value, record.headers["size"]) async for record in log.replay("t")]
    await log.close()
    assert found == [(value, f"{len(value)}") for value in sent]


async def test_a_server_nobody_vouches_for_is_no_event_log(encrypted: str) -> None:
    with pytest.raises(EventLogAway):
        await connect(encrypted)

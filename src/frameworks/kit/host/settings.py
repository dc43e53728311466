"""Settings of a process, whichever modules it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

from frameworks.kit.config import BadSetting

_PEER = "FRAMEWORKS_PEER_"
_SOCKET_PATH = 100
"""Characters a unix socket's path may have: the kernel's limit is 107 bytes."""


class ClearText(Enum):
    """Where gRPC may go without TLS."""

    NEVER = "never"
    LOOPBACK = "loopback"
    ANYWHERE = "anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What every process of the platform reads."""

    PREFIX: ClassVar[str] = "FRAMEWORKS_"
    FAMILIES: ClassVar[tuple[str, ...]] = ("PEER_", "POSTGRES_BIN", "NATS_BIN", "KAFKA_HOME", "DEMO_URL")

    data_dir: Path = Path(".frameworks")
    """Where this installation keeps its keys, sockets and embedded engines."""
    database: str | None = None
    """PostgreSQL DSN of the owner role, such as `postgresql://fw:secret@127.0.0.1:5432/frameworks`."""
    eventlog: str | None = None
    """URL of the event log: `nats://token@127.0.0.1:4222`, or
    `kafka://user:password@host:9092,host:9092?security_protocol=sasl_ssl&sasl_mechanism=SCRAM-SHA-512&ca=/ca.pem`
    (also `certificate`, `key`, `replication`)."""
    analytics: str | None = None
    """URL of the analytics engine, such as `http://user:secret@127.0.0.1:8123/frameworks`."""
    analytics_clusters: tuple[str, ...] = ()
    """Clusters with an analytics engine of their own, as `eu-1=https://user:secret@host:8443`, separated by commas."""
    rpc_tls_certificate: Path | None = None
    """PEM certificate chain of this process's gRPC listeners on `host:port`; read again when the file changes."""
    rpc_tls_key: Path | None = None
    """PEM key of `rpc_tls_certificate`."""
    rpc_tls_ca: Path | None = None
    """PEM certificates that the gRPC listeners of peers on `host:port` are verified with; then calls use TLS."""
    rpc_clear: ClearText = ClearText.LOOPBACK
    """Where gRPC on `host:port` may go without TLS: never, loopback (development on one machine), or anywhere."""
    cluster: str | None = None
    """The cluster this process belongs to; named in the tokens its services sign."""
    geoip: Path | None = None
    """An MMDB file that places addresses; without one every address is nowhere."""
    http_address: str = "127.0.0.1"
    """Address that HTTP listeners bind, unless a service has a setting of its own."""
    admin_address: str = "127.0.0.1"
    """Address of the listener for /health, /ready and /metrics."""
    admin_port: int = 18010
    """Port of the listener for /health, /ready and /metrics; 0 takes any free one."""
    stop_grace: timedelta = timedelta(seconds=3)
    """How long calls and requests under way may take to end when the process stops."""
    loop_failures: int = 10
    """A loop that fails this often within `loop_window` ends the process."""
    loop_window: timedelta = timedelta(minutes=5)
    """See `loop_failures`."""


def peer_setting(service: str) -> str:
    """The variable that names where `service` is reached."""
    return _PEER + service.upper().replace("-", "_")


def peer_address(service: str, env: Mapping[str, str], settings: HostSettings) -> str:
    """Where `service` is reached: `host:port` or `unix:path`, by default a socket in the data directory."""
    name = peer_setting(service)
    address = env.get(name) or f"unix:{settings.data_dir.resolve()}/run/{service}.sock"
    if address.startswith("unix:"):
        if len(address) - len("unix:") > _SOCKET_PATH:
            raise BadSetting(
                f"{name}: {address} is too long for a socket; set it, or a shorter FRAMEWORKS_DATA_DIR."
            )
    elif not address.rpartition(":")[2].isdigit():
        raise BadSetting(f"{name}: {address!r} is not host:port or unix:path.")
    return address


def check_clear(address: str, allowed: ClearText, setting: str) -> None:
    """Raise BadSetting when gRPC at `address` would be clear text where it may not be."""
    if address.startswith("unix:") or allowed is ClearText.ANYWHERE:
        return
    if allowed is ClearText.LOOPBACK and _is_loopback(address.rpartition(":")[0].strip("[]")):
        return
    raise BadSetting(
        f"{setting}: gRPC at {address} would be clear text. Set FRAMEWORKS_RPC_TLS_CERTIFICATE, _KEY and _CA, "
        "or allow it with FRAMEWORKS_RPC_CLEAR=anywhere."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

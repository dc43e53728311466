"""The URL of a Kafka cluster, and what librdkafka is told because of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from frameworks.kit.errors import Precondition

PORT = 9092
PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
FILES = {"ca": "ssl.ca.location", "certificate": "ssl.certificate.location", "key": "ssl.key.location"}
OPTIONS = ("security_protocol", "sasl_mechanism", *FILES, "replication")


class BadAddress(Precondition):
    """A Kafka URL that does not say where the brokers are, or says something we do not know."""

    code = "eventlog.bad_address"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the brokers are and how to speak to them."""

    brokers: str
    replication: int = -1
    """Replicas of a topic we create; -1 leaves it to the brokers."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """librdkafka's settings for the connection; they may hold a password."""


def parse(url: str) -> Address:
    """Read `kafka://user:password@host:9092,host:9092?option=…`; BadAddress names what is wrong, never the URL."""
    try:
        target = urlsplit(url)
        asked = dict(parse_qsl(target.query, keep_blank_values=True, strict_parsing=bool(target.query)))
    except ValueError as error:
        raise BadAddress("The Kafka URL can not be read: use kafka://host:9092?option=value.") from error
    if unknown := sorted(asked.keys() - set(OPTIONS)):
        raise BadAddress(f"Kafka has no option {', '.join(unknown)}: there are {', '.join(OPTIONS)}.")
    credentials, _, hosts = target.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    if target.path.strip("/") or target.fragment:
        raise BadAddress("A Kafka URL ends with its brokers and options: it names no topic.")
    return Address(
        brokers=",".join(_broker(host) for host in hosts.split(",")),
        replication=_replication(asked.get("replication")),
        options=_security(asked, user, password),
    )


def _broker(text: str) -> str:
    try:
        found = urlsplit(f"//{text}")
        host, port = found.hostname, found.port or PORT
    except ValueError as error:
        raise BadAddress("A Kafka broker is host:port.") from error
    if not host:
        raise BadAddress("The Kafka URL names no broker: use kafka://host:9092.")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _replication(text: str | None) -> int:
    if text is None:
        return -1
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise BadAddress("The option replication is how many brokers keep each record, such as 3.")
    return int(text)


def _security(asked: Mapping[str, str], user: str, password: str) -> dict[str, Any]:
    files = {setting: asked[name] for name, setting in FILES.items() if asked.get(name)}
    protocol = asked.get("security_protocol", _protocol(bool(user), bool(files))).lower()
    if protocol not in PROTOCOLS:
        raise BadAddress(f"The option security_protocol is one of {', '.join(PROTOCOLS)}.")
    if bool(user) != protocol.startswith("sasl"):
        raise BadAddress("A user and security_protocol sasl_ssl or sasl_plaintext go together.")
    if files and not protocol.endswith("ssl"):
        raise BadAddress("The options ca, certificate and key need security_protocol ssl or sasl_ssl.")
    if ("certificate" in asked) != ("key" in asked):
        raise BadAddress("The options certificate and key go together.")
    settings: dict[str, Any] = {"security.protocol": protocol, **files}
    if user:
        mechanism = asked.get("sasl_mechanism", MECHANISMS[0]).upper()
        if mechanism not in MECHANISMS:
            raise BadAddress(f"The option sasl_mechanism is one of {', '.join(MECHANISMS)}.")
        settings |= {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}
    elif "sasl_mechanism" in asked:
        raise BadAddress("The option sasl_mechanism needs a user: kafka://user:password@host:9092.")
    return settings


def _protocol(user: bool, files: bool) -> str:
    """What is meant when the URL does not say: a password never goes out in clear unasked."""
    if user:
        return "sasl_ssl"
    return "ssl" if files else "plaintext"

"""Kafka URLs: what they mean, and what is wrong with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.eventlog.kafka_address import BadAddress, parse


def test_a_bare_host_is_plaintext_on_kafkas_port() -> None:
    address = parse("kafka://broker")
    assert (address.brokers, address.replication) == ("broker:9092", -1)
    assert dict(address.options) == {"security.protocol": "plaintext"}


def test_several_brokers_and_ipv6_are_kept() -> None:
    assert parse("kafka://one:1,two,[::1]:3").brokers == "one:1,two:9092,[::1]:3"


def test_a_user_means_tls_and_percent_escapes_are_decoded() -> None:
    options = parse("kafka://an%40app:p%3Aw%2F%25@broker?sasl_mechanism=scram-sha-512&ca=/etc/ca.pem").options
    assert dict(options) == {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "an@app",
        "sasl.password": "p:w/%",
        "ssl.ca.location": "/etc/ca.pem",
    }


def test_a_client_certificate_means_tls() -> None:
    options = parse("kafka://broker?certificate=/c.pem&key=/k.pem&replication=3").options
    assert dict(options) == {
        "security.protocol": "ssl",
        "ssl.certificate.location": "/c.pem",
        "ssl.key.location": "/k.pem",
    }


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://", "names no broker"),
        ("kafka://a,,b", "names no broker"),
        ("kafka://a:port", "host:port"),
        ("kafka://a/topic", "names no topic"),
        ("kafka://a?acks=1", "no option acks: there are security_protocol, sasl_mechanism, ca"),
        ("kafka://a?ca", "can not be read"),
        ("kafka://a?security_protocol=tls", "one of plaintext, ssl, sasl_plaintext, sasl_ssl"),
        ("kafka://u:p@a?security_protocol=ssl", "go together"),
        ("kafka://a?security_protocol=sasl_ssl", "go together"),
        ("kafka://u:p@a?sasl_mechanism=GSSAPI", "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("kafka://a?sasl_mechanism=PLAIN", "needs a user"),
        ("kafka://a?certificate=/c.pem", "go together"),
        ("kafka://a?ca=/c.pem&security_protocol=plaintext", "need security_protocol"),
        ("kafka://a?replication=0", "how many brokers"),
        ("kafka://a?replication=many", "how many brokers"),
    ],
)
def test_what_is_wrong_is_said(url: str, says: str) -> None:
    with pytest.raises(BadAddress, match=says):
        parse(url)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_refusal_that_does_not_quote_it(text: str) -> None:
    try:
        said = repr(parse(f"kafka://user:hunter2@{text}"))
    except BadAddress as refused:
        said = refused.message
    assert "hunter2" not in said

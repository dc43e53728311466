"""Whatever is mailed can be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.clock import SystemClock
from frameworks.support.mailbox.domain import Mailbox

HEADERS = (b"Subject: ", b"Content-Type: ", b"text/plain; charset=", b"multipart/mixed; boundary=b")
BITS = (
    b"nope",
    b"idna",
    b"base64",
    b"\r\n",
    b"\r\n\r\n",
    b"--b",
    b"\xff\xfe",
    b"\0",
    b"=?utf-8?b?",
    b"?=",
    b"hello",
)
PIECES = st.sampled_from(HEADERS + BITS)


@given(content=st.lists(PIECES, max_size=12).map(b"".join), name=st.text(max_size=5))
def test_any_mail_is_taken_and_can_be_written(content: bytes, name: str) -> None:
    mail = Mailbox(1).take(content, name + "\udcff", ["\udcfe@x"], SystemClock().now())
    json.dumps([mail.subject, mail.text, mail.sender, mail.recipients], ensure_ascii=False).encode()


@pytest.mark.parametrize("charset", [b"nope", b"base64", b"idna", b"\0"])
def test_a_charset_nobody_knows_is_read_as_far_as_possible(charset: bytes) -> None:
    content = b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\nhello http://x/y"
    mail = Mailbox(1).take(content, "a@b", [], SystemClock().now())
    assert "hello" in mail.text
    assert mail.links == ("http://x/y",)

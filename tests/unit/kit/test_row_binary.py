"""Values as RowBinary has them."""

from uuid import UUID

from frameworks.kit.analytics import row_binary


def test_a_string_goes_behind_its_length() -> None:
    assert row_binary.string("") == b"\0"
    assert row_binary.string("é") == b"\x02\xc3\xa9"
    assert row_binary.string("x" * 300) == b"\xac\x02" + b"x" * 300


def test_a_uuid_is_two_numbers_the_upper_first() -> None:
    assert row_binary.uuid(UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")) == bytes(
        [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]
    )


def test_an_instant_that_does_not_fit_is_the_nearest_that_does() -> None:
    assert row_binary.date_time(1_790_000_100_999_999) == (1_790_000_100).to_bytes(4, "little")
    assert row_binary.date_time(-1) == bytes(4)
    assert row_binary.date_time(1 << 62) == b"\xff" * 4

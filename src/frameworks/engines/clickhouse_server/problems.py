"""ClickHouse's errors on the wire: a number, a text, and the HTTP status a real server answers with."""

import re

_ERROR = re.compile(r"Code: (\d+)\. DB::Exception: .*", re.DOTALL)

SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
READONLY = 164
NOT_ENOUGH_SPACE = 243
NOT_IMPLEMENTED = 48
TOO_MANY_QUERIES = 202
TOO_LARGE = 307
AUTHENTICATION_FAILED = 516
SETTING_REFUSED = 452
NO_COMPRESSION = 432
BAD_ARGUMENTS = 36
UNNAMED = 1001

_STATUS = {
    **dict.fromkeys((AUTHENTICATION_FAILED,), 403),
    **dict.fromkeys((60, 81, 46, 47, 115, 128), 404),
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 42, 43, 53, 62, 70, 72, 117, 376, 444, 456, 457), 400),
    **dict.fromkeys((NOT_IMPLEMENTED,), 501),
    **dict.fromkeys((TOO_LARGE,), 413),
    **dict.fromkeys((TOO_MANY_QUERIES,), 503),
    **dict.fromkeys((159, 209), 408),
}


class Problem(Exception):
    """An error to answer with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status of a real server for this code."""
        return _STATUS.get(self.code, 500)


def problem(code: int, sentence: str, name: str) -> Problem:
    """An error of our own in the engine's words."""
    return Problem(code, f"Code: {code}. DB::Exception: {sentence} ({name})")


def from_engine(text: str) -> Problem:
    """The error that chDB put into its exception's text."""
    match = _ERROR.search(text)
    return (
        Problem(int(match[1]), match[0].rstrip())
        if match
        else Problem(UNNAMED, text or "chDB failed without a word")
    )

"""Which settings a request may carry (`settings.txt`); their names go into a SET, so nothing else passes."""

import re
from collections.abc import Mapping
from pathlib import Path

from frameworks.engines.clickhouse_server.problems import SETTING_REFUSED, Problem, problem

NAME = re.compile(r"[a-z][a-z0-9_]{1,90}")

TRANSPORT = frozenset(
    {
        "add_http_cors_header",
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_response_buffer_size",
        "http_wait_end_of_query",
        "http_write_exception_in_output_format",
        "password",
        "query",
        "query_id",
        "quota_key",
        "readonly",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)
"""Parameters of the HTTP protocol itself; those that mean nothing here are accepted and ignored."""

FAMILIES = ("input_format_", "output_format_", "format_", "date_time_", "optimize_", "group_by_", "join_")

SETTINGS = frozenset(Path(__file__).with_name("settings.txt").read_text().split())

REFUSED = frozenset({"format_schema_path", "format_schema"})
"""In a family, but not for the asking: `format_schema` is handled apart, it may name a file."""


def is_setting(name: str) -> bool:
    """Whether a request may set it on the engine as it is."""
    return (
        bool(NAME.fullmatch(name)) and name not in REFUSED and (name in SETTINGS or name.startswith(FAMILIES))
    )


def refuse(name: str) -> Problem:
    """The answer to a parameter that is no allowed setting."""
    shown = name if NAME.fullmatch(name) else "with such a name"
    return problem(SETTING_REFUSED, f"Setting {shown} is not allowed here.", "SETTING_CONSTRAINT_VIOLATION")


def literal(value: str) -> str:
    """A ClickHouse string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def capped(settings: dict[str, str], limits: Mapping[str, int]) -> dict[str, str]:
    """`settings` with each limit put in, and what asks for more (or for 0: no limit) brought down to it."""
    for name, limit in limits.items():
        asked = settings.get(name, "0")
        if not re.fullmatch(r"\d{1,18}", asked):
            raise refuse(name)
        settings[name] = str(min(int(asked) or limit, limit))
    return settings

"""Settings: frozen dataclasses read from the environment and an optional TOML file, validated at start.

A settings class names its prefix and documents each field by the docstring under it:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Settings:
        PREFIX: ClassVar = "PURSER_"
        usage_grace: timedelta = timedelta(minutes=5)
        '''How long after the hour late usage still counts towards that hour.'''

`FRAMEWORKS_CONFIG` may name a TOML file whose keys are the same names, upper case. The environment wins.
A variable that starts with a known prefix but names no field is an error: no misspelt setting goes unnoticed.
A class may name open families, such as `FAMILIES = ("PEER_",)`, whose variables are read by other means.
"""

import ast
import dataclasses
import inspect
import os
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from frameworks.kit.errors import Refusal

T = TypeVar("T")


class BadSetting(Refusal):
    """A setting that is missing, misspelt or does not parse; the message names the variable."""

    code = "config.bad_setting"


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", text.strip())
    if not match:
        raise ValueError("write a duration such as 500ms, 30s, 5m, 24h or 7d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    raise ValueError("write true or false")


def _parse(kind: Any, text: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if text == "" else _parse(next(a for a in arguments if a is not type(None)), text)
    if origin is tuple:
        return tuple(_parse(arguments[0], part.strip()) for part in text.split(",") if part.strip())
    if isinstance(kind, typing.NewType):
        return _parse(kind.__supertype__, text)
    if kind is timedelta:
        return _duration(text)
    if kind is bool:
        return _boolean(text)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(text)
    if kind in (str, int, float, Decimal, Path):
        return kind(text)
    raise TypeError(f"no reader for settings of type {kind!r}")


def _text(value: Any) -> str:
    """A value as a variable would have to say it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(_text(part) for part in value)
    if isinstance(value, Enum):
        return str(value.value)
    return _duration_text(value) if isinstance(value, timedelta) else str(value)


def _duration_text(value: timedelta) -> str:
    """The duration in the largest unit that says it without a fraction."""
    milliseconds = round(value / timedelta(milliseconds=1))
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment over the TOML file that `FRAMEWORKS_CONFIG` names, as text values."""
    values = dict(os.environ if env is None else env)
    path = values.get("FRAMEWORKS_CONFIG")
    if not path:
        return values
    try:
        table = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"FRAMEWORKS_CONFIG: can not read {path}: {error}") from error
    return {key.upper(): _text(value) for key, value in table.items()} | values


def load(settings: type[T], env: Mapping[str, str]) -> T:
    """Read `settings` from `env`; raises BadSetting naming the variable and what is wrong with it."""
    prefix: str = settings.PREFIX  # type: ignore[attr-defined]
    hints = typing.get_type_hints(settings)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name = prefix + field.name.upper()
        if name in env:
            try:
                values[field.name] = _parse(hints[field.name], env[name])
            except (ValueError, ArithmeticError) as error:
                raise BadSetting(f"{name}: {env[name]!r} is not valid: {error}.") from error
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadSetting(f"{name} is not set, and has no default.")
    return settings(**values)


def unknown(all_settings: Iterable[type], env: Mapping[str, str]) -> list[str]:
    """Variables that carry a known prefix but name no setting, nor one of an open family (`FAMILIES`)."""
    known: set[str] = set()
    prefixes: set[str] = set()
    families: set[str] = set()
    for settings in all_settings:
        prefix: str = settings.PREFIX  # type: ignore[attr-defined]
        prefixes.add(prefix)
        families |= {prefix + family for family in getattr(settings, "FAMILIES", ())}
        known |= {prefix + field.name.upper() for field in dataclasses.fields(settings)}
    known.add("FRAMEWORKS_CONFIG")
    named = (
        name for name in env if name.startswith(tuple(prefixes)) and not name.startswith(tuple(families))
    )
    return sorted(name for name in named if name not in known)


def document(settings: type) -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of each field; the meaning is the docstring under it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(tree, ast.ClassDef)
    meanings: dict[str, str] = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            meanings[statement.target.id] = inspect.cleandoc(str(following.value.value))
    rows = []
    for field in dataclasses.fields(settings):
        default = "required" if field.default is dataclasses.MISSING else _text(field.default)
        rows.append((settings.PREFIX + field.name.upper(), default, meanings.get(field.name, "")))  # type: ignore[attr-defined]
    return rows

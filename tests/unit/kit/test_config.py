"""Settings are typed, complete, and no misspelt one goes unnoticed."""

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import ClassVar, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.config import BadSetting, document, environment, load, unknown

Name = NewType("Name", str)


class Mode(Enum):
    """A choice."""

    FAST = "fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field of each sort."""

    PREFIX: ClassVar[str] = "PURSER_"
    FAMILIES: ClassVar[tuple[str, ...]] = ("RATE_",)

    key: str
    """What to sign with."""
    name: Name = Name("x")
    grace: timedelta = timedelta(minutes=5)
    """How long usage may be late."""
    price: Decimal = Decimal("1.5")
    retries: int = 3
    enabled: bool = False
    hosts: tuple[str, ...] = ()
    path: Path | None = None
    mode: Mode = Mode.FAST


def test_each_type_is_read() -> None:
    env = {
        "PURSER_KEY": "k",
        "PURSER_NAME": "n",
        "PURSER_GRACE": "1.5h",
        "PURSER_PRICE": "0.10",
        "PURSER_RETRIES": "7",
        "PURSER_ENABLED": "Yes",
        "PURSER_HOSTS": "a, b,,c",
        "PURSER_PATH": "/tmp/x",
        "PURSER_MODE": "fast",
    }
    assert load(Settings, env) == Settings(
        key="k",
        name=Name("n"),
        grace=timedelta(minutes=90),
        price=Decimal("0.10"),
        retries=7,
        enabled=True,
        hosts=("a", "b", "c"),
        path=Path("/tmp/x"),
        mode=Mode.FAST,
    )


def test_what_is_not_set_has_its_default() -> None:
    assert load(Settings, {"PURSER_KEY": "k"}) == Settings(key="k")


def test_an_empty_optional_setting_is_none() -> None:
    assert load(Settings, {"PURSER_KEY": "k", "PURSER_PATH": ""}).path is None


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(BadSetting, match="PURSER_KEY is not set"):
        load(Settings, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GRACE", "5"),
        ("GRACE", "5 weeks"),
        ("PRICE", "a"),
        ("RETRIES", "1.5"),
        ("ENABLED", "maybe"),
        ("MODE", "slow"),
    ],
)
def test_a_setting_that_does_not_parse_is_named(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"PURSER_{name}"):
        load(Settings, {"PURSER_KEY": "k", f"PURSER_{name}": text})


@given(st.text())
def test_any_text_for_a_duration_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadSetting):
        assert load(Settings, {"PURSER_KEY": "k", "PURSER_GRACE": text}).grace >= timedelta(0)


def test_a_misspelt_setting_is_found() -> None:
    env = {"PURSER_KEY": "k", "PURSER_GRAEC": "5m", "PATH": "/bin", "PURSER_RATE_EUR": "1"}
    assert unknown([Settings], env) == ["PURSER_GRAEC"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('purser_key = "from the file"\nPURSER_RETRIES = 9\n')
    env = environment({"FRAMEWORKS_CONFIG": str(file), "PURSER_KEY": "from the environment"})
    settings = load(Settings, env)
    assert (settings.key, settings.retries) == ("from the environment", 9)


def test_a_file_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="FRAMEWORKS_CONFIG"):
        environment({"FRAMEWORKS_CONFIG": str(tmp_path / "none.toml")})


def test_every_field_is_documented_by_the_text_under_it() -> None:
    rows = {name: (default, meaning) for name, default, meaning in document(Settings)}
    assert rows["PURSER_KEY"] == ("required", "What to sign with.")
    assert rows["PURSER_GRACE"] == ("5m", "How long usage may be late.")


def test_a_documented_default_is_what_a_variable_may_say() -> None:
    for name, default, _ in document(Settings):
        if default not in ("required", ""):
            load(Settings, {"PURSER_KEY": "k", name: default})

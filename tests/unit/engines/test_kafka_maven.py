"""Kafka without Java: what to install is said exactly."""

from pathlib import Path

import pytest

from frameworks.engines import kafka_maven
from frameworks.engines.kafka import Kafka
from frameworks.engines.kafka_maven import NoJava


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on its PATH and nothing fetched before."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FRAMEWORKS_KAFKA_HOME", raising=False)
    return tmp_path


async def test_without_java_and_maven_the_packages_are_named(bare: Path) -> None:
    with pytest.raises(NoJava, match=r"sudo apt install default-jre-headless maven$"):
        await Kafka(bare / "kafka").start()


async def test_maven_is_not_wanted_once_the_jars_are_here(bare: Path) -> None:
    kafka_maven.jars().mkdir(parents=True)
    with pytest.raises(NoJava, match=r"sudo apt install default-jre-headless$"):
        await kafka_maven.resolve()


def test_an_unpacked_kafka_brings_its_own_jars(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEWORKS_KAFKA_HOME", "/opt/kafka")
    assert kafka_maven.jars() == Path("/opt/kafka/libs")

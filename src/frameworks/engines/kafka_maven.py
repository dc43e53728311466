"""Apache Kafka's own jars: from an unpacked Kafka, or resolved once by Maven into the user's cache."""

import asyncio
import os
import shutil
from pathlib import Path

from frameworks.kit.clock import random_text
from frameworks.kit.errors import Precondition, Unavailable

VERSION = "4.3.1"
SLF4J = "1.7.36"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
RESOLVED_WITHIN = 600.0
TAIL = 1_000

POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>frameworks</groupId>
  <artifactId>kafka</artifactId>
  <version>{VERSION}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>{SLF4J}</version>
    </dependency>
  </dependencies>
</project>
"""


class NoJava(Precondition):
    """Kafka runs on Java, and Maven brings it."""

    code = "kafka.no_java"


class NotResolved(Unavailable):
    """Maven could not bring Kafka's jars; the message quotes the end of what it said."""

    code = "kafka.not_resolved"


def missing() -> tuple[str, ...]:
    """The Debian packages that are wanting for a broker of our own; empty when nothing is."""
    wanted = {"java": "default-jre-headless"}
    if not os.environ.get("FRAMEWORKS_KAFKA_HOME") and not jars().is_dir():
        wanted["mvn"] = "maven"
    return tuple(package for command, package in wanted.items() if shutil.which(command) is None)


def jars() -> Path:
    """Where the jars are, or will be."""
    home = os.environ.get("FRAMEWORKS_KAFKA_HOME")
    if home:
        return Path(home) / "libs"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "frameworks" / f"kafka-{VERSION}"


async def resolve() -> Path:
    """The directory of the jars; Maven fetches them (about 45 MB) when they are not there. Raises NoJava."""
    if wanting := missing():
        raise NoJava(f"Kafka needs Java and Maven: sudo apt install {' '.join(wanting)}")
    target = jars()
    if not target.is_dir():
        await _fetch(target)
    return target


async def _fetch(target: Path) -> None:
    scratch = target.with_name(f"{target.name}.{random_text(8)}")
    scratch.mkdir(parents=True)
    (scratch / "pom.xml").write_text(POM)
    try:
        await _maven(scratch)
        _put(scratch / "lib", target)
    finally:
        shutil.rmtree(scratch)


def _put(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():  # else somebody was faster
            raise


async def _maven(place: Path) -> None:
    arguments = ("-B", "-q", "-f", str(place / "pom.xml"), PLUGIN)
    child = await asyncio.create_subprocess_exec(
        *("mvn", *arguments, "-DincludeScope=runtime", f"-DoutputDirectory={place / 'lib'}"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RESOLVED_WITHIN):
            said, _ = await child.communicate()
    except TimeoutError as error:
        raise NotResolved(f"Maven did not bring Kafka within {RESOLVED_WITHIN:g} s.") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise NotResolved(
            f"Maven could not bring Kafka. It said: {said.decode(errors='replace')[-TAIL:].strip()}"
        )

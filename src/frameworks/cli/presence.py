"""Which processes run on a data directory: each leaves a file with its admin port, and takes it away at its end."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PLACE = Path("run") / "processes"


@dataclass(frozen=True, slots=True)
class Present:
    """A process that said where to ask it."""

    name: str
    pid: int
    address: str
    port: int
    modules: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether a process of this number is there."""
        return Path(f"/proc/{self.pid}").exists()


def announce(data: Path, present: Present) -> None:
    """Leave the file; a predecessor that was killed is forgotten."""
    directory = data / PLACE
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for other in announced(data):
        if other.name == present.name and not other.runs:
            withdraw(data, other.name, other.pid)
    path = _path(data, present.name, present.pid)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(present)))
    os.replace(fresh, path)


def withdraw(data: Path, name: str, pid: int) -> None:
    """Take the file away."""
    _path(data, name, pid).unlink(missing_ok=True)


def announced(data: Path) -> list[Present]:
    """Every process that left a file, by name; files that can not be read are passed over."""
    return sorted(_read(data), key=lambda present: (present.name, present.pid))


def _read(data: Path) -> Iterator[Present]:
    for path in (data / PLACE).glob("*.json"):
        try:
            found = json.loads(path.read_text())
            yield Present(
                str(found["name"]),
                int(found["pid"]),
                str(found["address"]),
                int(found["port"]),
                tuple(map(str, found["modules"])),
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _path(data: Path, name: str, pid: int) -> Path:
    return data / PLACE / f"{name[:100]}-{pid}.json"

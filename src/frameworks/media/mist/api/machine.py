"""The machine's own load, read from /proc as MistServer reports it: CPU per mille, sizes in KiB."""

import os
from dataclasses import dataclass, field
from pathlib import Path


def _fields(path: str) -> dict[str, list[int]]:
    """Lines of a /proc file as name and numbers; empty where there is no such file."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, *numbers = line.replace(":", " ").split()
        found[name] = [int(number) for number in numbers if number.isdigit()]
    return found


@dataclass(slots=True)
class Machine:
    """Remembers the last look at the CPU, since its load is a difference."""

    cpu_per_mille: int = 0
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    _busy: int = 0
    _total: int = 0

    def look(self) -> None:
        """Measure the CPU since the last look."""
        ticks = _fields("/proc/stat").get("cpu", [])
        if len(ticks) < 5:
            return
        total, idle = sum(ticks[:8]), ticks[3] + ticks[4]
        busy = total - idle
        if total > self._total:
            self.cpu_per_mille = round(1000 * (busy - self._busy) / (total - self._total))
        self._busy, self._total = busy, total

    @staticmethod
    def memory() -> tuple[int, int]:
        """(total, used) KiB of RAM."""
        found = _fields("/proc/meminfo")
        total = found.get("MemTotal", [0])[0]
        return total, total - found.get("MemAvailable", [0])[0]

    @staticmethod
    def shared_memory() -> tuple[int, int]:
        """(total, used) KiB of /dev/shm."""
        try:
            disk = os.statvfs("/dev/shm")
        except OSError:
            return 0, 0
        block = disk.f_frsize
        return disk.f_blocks * block // 1024, (disk.f_blocks - disk.f_bfree) * block // 1024

    @staticmethod
    def interfaces() -> tuple[int, int]:
        """(sent, received) bytes of all interfaces but loopback."""
        found = {name: n for name, n in _fields("/proc/net/dev").items() if name != "lo" and len(n) >= 16}
        return sum(n[8] for n in found.values()), sum(n[0] for n in found.values())

"""Run the house rules over the repository; exit code 1 when something is found."""

import sys
from pathlib import Path, PurePosixPath

from tools.lint.rules import check

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print `path:line: what` for each finding."""
    found = 0
    for path in sorted((ROOT / "src").rglob("*.py")):
        relative = path.relative_to(ROOT)
        if "pb" in relative.parts:
            continue
        for line, what in check(PurePosixPath(relative.as_posix()), path.read_text()):
            print(f"{relative}:{line}: {what}")
            found += 1
    sys.exit(f"{found} findings" if found else 0)


main()

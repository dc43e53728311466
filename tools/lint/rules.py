"""The rules. Each yields (line, sentence) for what it finds wrong in one file."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

Finding = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: path below the repository, text, syntax tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def in_src(self) -> bool:
        """Whether this is product code."""
        return self.path.parts[0] == "src"


RAW_TIME = {
    ("time", "time"), ("time", "time_ns"), ("time", "sleep"), ("time", "monotonic"),
    ("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("asyncio", "sleep"),
    ("uuid", "uuid1"), ("uuid", "uuid4"), ("os", "urandom"),
}  # fmt: skip
RAW_TIME_MODULES = {"random", "secrets"}
TIME_ALLOWED = re.compile(r"src/frameworks/(kit/clock\.py|cli/|engines/)")
ANATOMY = {
    "__init__.py", "module.py", "api.py", "consumers.py", "jobs.py", "store.py", "peers.py", "service.py", "domain.py",
    "config.py",
}  # fmt: skip
ANATOMY_PACKAGES = {"api", "consumers", "jobs", "store", "peers", "service", "domain", "migrations", "static"}
EXTRA_PACKAGES = {"bridge": {"transport", "schema"}, "mist": {"servers", "outputs", "hub", "protocols"}}
EXTRA_FILES = {"mist": {"hub.py"}, "demo": {"__main__.py", "encode.py"}}
PLANES = {"control", "data", "media", "support"}
REFUSED_NAMES = re.compile(r"(^|_)(manager|helper|helpers|util|utils|base|impl|info|common|misc)$")
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\b")
SQL_ALLOWED = re.compile(
    r"src/frameworks/(.*/store(\.py|/.*)|kit/(outbox\.py|sql(\.py|/.*)|analytics(\.py|/.*)|eventlog/.*)|engines/.*)$"
)
RESOLVE_METHODS = re.compile(r"^(resolve_\w+|system_\w+|_\w+|close|migrate|__init__)$")


def no_raw_time_or_randomness(source: Source) -> Iterator[Finding]:
    """Time, randomness and ids come from kit.clock, so that tests own them."""
    if not source.in_src or TIME_ALLOWED.match(str(source.path)):
        return
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            used = (node.func.value.id, node.func.attr)
            if used in RAW_TIME and not (used == ("asyncio", "sleep") and _is_zero(node)):
                yield node.lineno, f"{used[0]}.{used[1]} outside kit/clock.py"
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name in RAW_TIME_MODULES:
                    yield node.lineno, f"import {name.name} outside kit/clock.py"


def _is_zero(call: ast.Call) -> bool:
    """`asyncio.sleep(0)` only yields to the loop; it waits for no clock."""
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def only_known_files(source: Source) -> Iterator[Finding]:
    """A service consists of the same few files, so that a newcomer who knows one knows all."""
    parts = source.path.parts
    if not source.in_src or len(parts) < 5 or parts[2] not in PLANES:
        return
    service, inner = parts[3], parts[4]
    if len(parts) == 5 and inner not in ANATOMY | EXTRA_FILES.get(service, set()):
        yield 1, f"{inner} is not a file of a service's anatomy"
    if len(parts) > 5 and inner not in ANATOMY_PACKAGES | EXTRA_PACKAGES.get(service, set()):
        yield 1, f"{inner}/ is not a package of a service's anatomy"


def sql_lives_in_stores(source: Source) -> Iterator[Finding]:
    """SQL is in store.py, migrations and the kit's own stores, nowhere else."""
    if not source.in_src or SQL_ALLOWED.match(str(source.path)):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_statement(node.value):
            yield node.lineno, "SQL outside store.py"


def _is_statement(text: str) -> bool:
    return bool(SQL.match(text.lstrip())) and (
        " FROM " in text or " INTO " in text or " SET " in text or "TABLE" in text
    )


def stores_take_the_tenant_first(source: Source) -> Iterator[Finding]:
    """Every public store method names the tenant first; lookups that find the tenant are called resolve_*."""
    parts = source.path.parts
    if not source.in_src or len(parts) < 5 or parts[2] != "control" or not parts[4].startswith("store"):
        return
    for cls in (n for n in source.tree.body if isinstance(n, ast.ClassDef)):
        for method in (n for n in cls.body if isinstance(n, ast.AsyncFunctionDef)):
            arguments = [a.arg for a in method.args.args if a.arg != "self"]
            if not RESOLVE_METHODS.match(method.name) and (
                not arguments or not arguments[0].startswith("tenant")
            ):
                yield method.lineno, f"{cls.name}.{method.name} does not take the tenant first"


def plain_names(source: Source) -> Iterator[Finding]:
    """A module is named for what it holds, not for being a bag."""
    name = source.path.stem
    if source.in_src and REFUSED_NAMES.search(name):
        yield 1, f"{name} says nothing about what is in it"


def iterator_streams(source: Source) -> Iterator[Finding]:
    """gRPC streams are used iterator style only, so that the in-process transport stays small."""
    if not source.in_src:
        return
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("done_writing",)
        ):
            yield node.lineno, "the writer API of gRPC streams"


RULES: tuple[Callable[[Source], Iterator[Finding]], ...] = (
    no_raw_time_or_randomness,
    only_known_files,
    sql_lives_in_stores,
    stores_take_the_tenant_first,
    plain_names,
    iterator_streams,
)


def check(path: PurePosixPath, text: str) -> list[Finding]:
    """Everything the rules find in one file; a line ending in `# lint: ok (why)` is spared."""
    source = Source(path, text, ast.parse(text))
    lines = text.splitlines()
    found = [finding for rule in RULES for finding in rule(source)]
    return sorted((line, what) for line, what in found if "# lint: ok (" not in lines[line - 1] if lines)

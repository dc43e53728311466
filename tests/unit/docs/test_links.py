"""The documents name only what exists: files, code, make targets, settings, ports, metrics."""

import dataclasses
import re
from functools import cache
from pathlib import Path

import pytest

from frameworks.cli.layout import LOOPBACK_PORTS, PUBLIC_PORTS
from frameworks.cli.process import all_settings
from frameworks.contracts.audit import ACTIONS
from tools.settings_docs import PAGE, page

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [*(ROOT / "docs").rglob("*.md")]
)
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SETTING = re.compile(r"\b(?:FRAMEWORKS|[A-Z]{4,})_[A-Z0-9]+(?:_[A-Z0-9]+)*\b")
PORT = re.compile(
    r"(?:127\.0\.0\.1|localhost|192\.0\.2\.\d+|0\.0\.0\.0):(\d{2,5})\b|\(port (\d{4,5})|\bof `mist`, (\d{4,5})"
)
ROW = re.compile(r"^\| (\d{4,5}) \| `([A-Z_]+)` \|", re.MULTILINE)

METRIC = re.compile(r"\b(?:counter|tally|gauge|histogram)\(\s*\"([a-z_]+)\"")

each_page = pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as the forges make them."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(path.read_text()))
    return {title.replace(" ", "-") for title in plain}


def fenced_off(text: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@cache
def source_text() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))


@cache
def setting_defaults() -> dict[str, object]:
    return {
        kind.PREFIX + field.name.upper(): field.default  # type: ignore[attr-defined]
        for kind in all_settings()
        for field in dataclasses.fields(kind)
    }


@cache
def known_ports() -> frozenset[int]:
    """Ports of the layout, and every one in a default: plain, in a URL, in an example."""
    found = {*PUBLIC_PORTS.values(), *LOOPBACK_PORTS.values()}
    text = " ".join(map(str, setting_defaults().values())) + " " + PAGE.read_text()
    return frozenset(found | {int(number) for number in re.findall(r"(?<!\d)\d{2,5}(?!\d)", text)})


@each_page
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    missing = []
    for _, target in LINK.findall(fenced_off(document.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        if not place.exists() or (anchor and anchor not in anchors(place)):
            missing.append(target)
    assert missing == []


@each_page
def test_a_name_that_links_into_code_is_in_that_file(document: Path) -> None:
    missing = []
    for text, target in LINK.findall(document.read_text()):
        place = document.parent / target
        if place.suffix != ".py" or not place.exists():
            continue
        names = [name.rpartition(".")[2] for code in CODE.findall(text) for name in code.split(", ")]
        content = place.read_text()
        missing += [
            f"{name} in {target}"
            for name in names
            if name.isidentifier() and name != "py" and not re.search(rf"\b{name}\b", content)
        ]
    assert missing == []


@each_page
def test_every_make_target_exists(document: Path) -> None:
    text = document.read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    used = set(re.findall(r"`make ([a-z]+)", text)) | set(
        re.findall(r"^(?:.*&& )?make ([a-z]+)", blocks, re.MULTILINE)
    )
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert used - targets == set()


@each_page
def test_every_setting_exists(document: Path) -> None:
    prefixes = {kind.PREFIX for kind in all_settings()}  # type: ignore[attr-defined]
    named = {name for name in SETTING.findall(document.read_text()) if name.startswith(tuple(prefixes))}
    families = ("FRAMEWORKS_PEER_",)
    unknown = {
        name
        for name in named - setting_defaults().keys()
        if not f"{name}_".startswith(families) and f'"{name}"' not in source_text()
    }
    assert unknown == set()


@each_page
def test_every_port_is_one_that_is_used(document: Path) -> None:
    used = {int(number) for found in PORT.findall(document.read_text()) for number in found if number}
    assert used - known_ports() == set()


def test_the_table_of_ports_says_the_defaults() -> None:
    rows = ROW.findall((ROOT / "docs" / "operations.md").read_text())
    layout = {*PUBLIC_PORTS.values(), *LOOPBACK_PORTS.values()}
    assert {int(port) for port, _ in rows} == layout
    wrong = [
        row for row in rows if setting_defaults()[row[1]] != int(row[0]) and row[1] != "FRAMEWORKS_ADMIN_PORT"
    ]
    assert wrong == []


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python tools/settings_docs.py"


def test_every_metric_is_in_the_operations_page() -> None:
    ours = set(METRIC.findall(source_text()))
    _, _, section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")
    assert ours == set(re.findall(r"^\| `([a-z_]+)` \|", section.partition("\n## ")[0], re.MULTILINE))


def test_every_action_of_the_audit_trail_is_in_the_operations_page() -> None:
    _, _, section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Audit trail\n")
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert dict(rows) == ACTIONS


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs" / "adr").glob("0*.md")}
    assert {name for name in pages if f"({name})" not in index} == set()

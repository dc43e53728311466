"""The build script: which Node will do, and what makes a build old."""

from pathlib import Path

import pytest

from tools import console


@pytest.mark.parametrize("version", ["v20.19.0", "v20.20.2", "v22.12.0", "v22.20.1", "v24.0.0"])
def test_a_supported_node_will_do(version: str) -> None:
    assert console.is_new_enough(version)


@pytest.mark.parametrize(
    "version", ["", "v18.20.0", "v20.18.3", "v21.7.0", "v22.11.0", "20.19.0", "nonsense"]
)
def test_any_other_will_not(version: str) -> None:
    assert not console.is_new_enough(version)


def test_a_changed_renamed_or_new_file_makes_a_build_old(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    source = tmp_path / "src" / "main.ts"
    source.write_text("a")
    seen = {console.digest(tmp_path)}
    source.write_text("b")
    seen.add(console.digest(tmp_path))
    source.rename(tmp_path / "src" / "other.ts")
    seen.add(console.digest(tmp_path))
    (tmp_path / "src" / "more.ts").write_text("")
    seen.add(console.digest(tmp_path))
    assert len(seen) == 4


def test_installed_modules_make_no_difference(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    before = console.digest(tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.js").write_text("x")
    assert console.digest(tmp_path) == before

"""TLS files: both or neither, and only a pair that fits."""

from pathlib import Path

import pytest

from frameworks.kit.config import BadSetting
from frameworks.kit.tls import TlsFiles


def test_neither_file_means_no_tls() -> None:
    assert TlsFiles.named(None, None, prefix="X_") is None


def test_one_file_alone_is_refused() -> None:
    with pytest.raises(BadSetting, match="X_TLS_KEY go together"):
        TlsFiles.named(Path("c.pem"), None, prefix="X_")


def test_files_that_are_no_certificate_are_refused_with_a_sentence(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("nonsense")
    files = TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem")
    with pytest.raises(BadSetting, match="can not be used"):
        files.context()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting):
        TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem").context()

"""Every `fixtures_<name>.py` beside this file is loaded for all tests."""

from pathlib import Path

import pytest

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fixtures_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # before any of them imports another

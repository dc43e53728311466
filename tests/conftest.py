"""Every `fixtures_<engine>.py` beside this file is loaded for all tests."""

from pathlib import Path

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fixtures_*.py"))

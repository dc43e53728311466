"""Every `fixtures_<name>.py` beside this file is loaded for all tests; how property tests search is set here.

A test run repeats the same examples everywhere, so that a change is judged by what it changed; `make explore` looks for
new ones, ten times as many, and prints what it finds.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fixtures_*.py"))
helpers = [path.stem for path in Path(__file__).parent.glob("flows/flow_*.py")]
pytest.register_assert_rewrite(*pytest_plugins, *helpers)  # before any of them imports another

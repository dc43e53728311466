"""Each house rule finds what it is for, and leaves what is right alone."""

from pathlib import PurePosixPath

import pytest

from tools.lint.rules import check

WRONG = {
    "raw time": (
        "src/frameworks/control/purser/service.py",
        "import time\ndef f() -> float:\n    return time.time()\n",
    ),
    "randomness": ("src/frameworks/control/purser/domain.py", "import random\n"),
    "raw sleep": (
        "src/frameworks/data/decklog/jobs.py",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)\n",
    ),
    "stray file": ("src/frameworks/control/purser/rates.py", '"""Rates."""\n'),
    "stray package": ("src/frameworks/control/purser/stuff/rates.py", '"""Rates."""\n'),
    "sql": ("src/frameworks/control/purser/service.py", 'Q = "SELECT a FROM b"\n'),
    "tenant": (
        "src/frameworks/control/purser/store.py",
        "class S:\n    async def invoices(self, page, tenant):\n        ...\n",
    ),
    "bag": ("src/frameworks/kit/string_utils.py", '"""Strings."""\n'),
    "writer": (
        "src/frameworks/media/helmsman/peers.py",
        "async def f(call):\n    await call.done_writing()\n",
    ),
}

RIGHT = {
    "the clock itself": ("src/frameworks/kit/clock.py", "import time\nx = time.time()\n"),
    "yielding": (
        "src/frameworks/data/decklog/jobs.py",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n",
    ),
    "anatomy": ("src/frameworks/control/purser/service/invoices.py", '"""Invoices."""\n'),
    "sql in a store": (
        "src/frameworks/control/purser/store.py",
        'class S:\n    async def invoices(self, tenant):\n        return "SELECT a FROM b"\n',
    ),
    "directory lookup": (
        "src/frameworks/control/purser/store.py",
        "class S:\n    async def resolve_invoice(self, number):\n        ...\n",
    ),
    "tests": ("tests/unit/test_x.py", "import time\nx = time.time()\n"),
    "spared": ("src/frameworks/data/x/service.py", "import random  # lint: ok (a fixture)\n"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    path, text = WRONG[name]
    assert check(PurePosixPath(path), text)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_left_alone(name: str) -> None:
    path, text = RIGHT[name]
    assert check(PurePosixPath(path), text) == []

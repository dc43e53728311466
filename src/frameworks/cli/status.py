"""`frameworks status`: what the processes say of themselves."""

import json
import urllib.error
import urllib.request
from typing import Any

from rich.console import Console
from rich.table import Table

PROCESSES = {"app": "app_admin", "mist": "mist_admin"}


def show(ports: dict[str, int], *, as_json: bool) -> bool:
    """Print the state of each process; True when all are ready."""
    found = {name: _ask(ports.get(port)) for name, port in PROCESSES.items()}
    if as_json:
        print(json.dumps(found))
    else:
        Console().print(_table(found))
    return all(answer.get("status") == "ok" for answer in found.values())


def _ask(port: int | None) -> dict[str, Any]:
    if port is None:
        return {"status": "never started"}
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=3) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
    except (OSError, ValueError):
        return {"status": "not running"}


def _table(found: dict[str, dict[str, Any]]) -> Table:
    table = Table("Process", "Part", "State", "Facts")
    for process, answer in found.items():
        table.add_row(process, "", str(answer.get("status")), str(answer.get("version", "")))
        for name in answer.get("failing_loops") or ():
            table.add_row("", name, "failing", "")
        for name, facts in (answer.get("facts") or {}).items():
            table.add_row("", name, "", json.dumps(facts))
    return table

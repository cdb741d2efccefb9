"""The rows by which finished work is published."""

import datetime as dt
import getpass
import importlib.metadata
import json
import socket
from typing import Any

from lake import tables
from lake.parameters import Lake


def publish_row(lake: Lake, kind: str, started: dt.datetime, values: dict[str, Any]) -> None:
    """Append a row to the runs table for anything but a scoring run."""
    tables.append(lake.url, "runs", [run_row(lake, kind, started) | values])


def run_row(lake: Lake, kind: str, started: dt.datetime) -> dict[str, Any]:
    """Return who ran what, where, when and with which parameters."""
    finished = dt.datetime.now(dt.UTC)
    return {
        "run": f"{kind}-{started:%Y%m%dT%H%M%S.%f}",
        "kind": kind,
        "started_at": started,
        "finished_at": finished,
        "seconds": (finished - started).total_seconds(),
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "nanolake": importlib.metadata.version("nanolake"),
        "parameters": json.dumps(lake.parameters.model_dump()),
    }

"""Run the benchmarks, print a table of ratios and write JSON: ``make bench``.

Each benchmark is a module of this folder with a function ``measure() -> list[dict]``; it runs in a process of its
own, so that its peak memory is its own. A row holds what was measured (``seconds``), its peer (``peer``,
``peer_seconds``), their ratio and the goal. Goals are printed, not enforced: the machine may be busy.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("bench_*.py"))
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def run_one(name: str) -> None:
    """Run a benchmark in this process and print its rows as JSON on the last line."""
    sys.path.insert(0, str(FOLDER))
    rows = importlib.import_module(name).measure()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([{"benchmark": name.removeprefix("bench_"), **row, "peak_mib": round(peak)} for row in rows]))


def run_all(names: list[str], target: Path) -> int:
    """Run benchmarks one after the other; print the table and write the JSON."""
    rows, failed = [], []
    for name in names:
        command = [sys.executable, __file__, "--one", name]
        result = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
        if result.returncode:
            failed.append(name)
            print(f"{name} failed:\n{result.stderr}", file=sys.stderr)
            continue
        for row in json.loads(result.stdout.splitlines()[-1]):
            rows.append(row)
            print(line(row), flush=True)
    target.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 1 if failed else 0


def line(row: dict) -> str:
    """Return a row as text."""
    ratio = f"{row['ratio']:8.2f} x" if row.get("ratio") is not None else " " * 10
    met = {True: "met", False: "MISSED", None: ""}[row.get("met")]
    return f"{row['what']:78} {ratio}  goal {row['goal']:18} {met:7} {row['seconds']:9.4f} s  {row['peak_mib']:6} MiB"


def machine() -> dict:
    """Return what the figures were measured on."""
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the figures go")
    parser.add_argument("--one", choices=NAMES, help="run one benchmark in this process")
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], help="which benchmarks; all by default")
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one)
        return 0
    return run_all(arguments.names or NAMES, arguments.json)


if __name__ == "__main__":
    sys.exit(main())

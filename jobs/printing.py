"""What the commands print: results to stdout as a table, CSV or JSON; remarks to stderr."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import pandas as pd
from rich.console import Console
from rich.table import Table

from catalog import Catalog
from jobs.ingest import Outcome
from jobs.plan import Plan
from jobs.score import Scored
from lake import paths, tables
from lake.parameters import open_lake

_INGESTED = (
    "dataset", "n_files", "n_localizations", "n_rois", "n_rois_dense", "precision_nm", "density_per_um2",
    "coverage", "seconds",
)  # fmt: skip
_LISTED = (
    "dataset", "title", "protein", "cell_type", "fluorophore", "modality", "n_files", "n_localizations", "n_rois",
    "n_rois_dense",
)  # fmt: skip


def rows(records: Sequence[dict[str, Any]], columns: Sequence[str], output: str) -> None:
    """Print records; a table shows the named columns, CSV and JSON show all."""
    if output == "json":
        click.echo(json.dumps([_plain(record) for record in records], indent=1))
    elif output == "csv":
        buffer = io.StringIO()
        pd.DataFrame(list(records)).to_csv(buffer, index=False)
        click.echo(buffer.getvalue(), nl=False)
    elif records:
        _table(records, columns)


def _plain(value: Any) -> Any:
    """Return a value that JSON holds: no NaN, times as text."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is pd.NaT or value is pd.NA:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _table(records: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False)
    numeric = {c for c in columns if all(isinstance(r[c], (int, float)) or r[c] is None for r in records)}
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for record in records:
        table.add_row(*(_cell(record[column]) for column in columns))
    console = Console(soft_wrap=False)
    # A pipe has no width of its own: do not fold there.
    Console(width=console.width if console.is_terminal else 10_000).print(table)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def ingested(outcome: Outcome, output: str) -> None:
    """Print what an ingest registered; problems and remarks go to stderr, a line each."""
    for note in outcome.notes:
        click.echo(f"note: {note}", err=True)
    for problem in outcome.problems:
        click.echo(f"error: {problem.folder}: {problem.message}", err=True)
    ordered = sorted(outcome.registered, key=lambda row: row["dataset"])
    rows(ordered, _INGESTED, output)
    click.echo(
        f"{len(outcome.registered)} datasets registered, {len(outcome.unchanged)} unchanged, "
        f"{len(outcome.problems)} problems",
        err=True,
    )


def planned(plan: Plan | None, lake: str, output: str) -> None:
    """Print what a scoring run would do."""
    if plan is None:
        click.echo("nothing to score: all is there", err=True)
        rows([], (), output)
        return
    rate, origin = _pairs_per_second(lake)
    record = {
        "generation": plan.generation,
        "run": plan.run,
        "n_datasets": len(plan.datasets),
        **{f"n_rois_{mode}": plan.panel(mode).n_new for mode in paths.MODES},
        "n_pairs": plan.n_pairs(),
        "n_tiles": plan.n_tiles(),
        "nbytes": plan.nbytes(),
        "estimated_seconds": round(plan.n_pairs() / rate, 1),
    }
    rows([record], tuple(record), output)
    click.echo(f"the estimate counts {rate / 1e6:.0f} million pairs a second, {origin}", err=True)


_USUAL_PAIRS_PER_SECOND = 3e7  # a full run of 20,000 ROIs on two cores, all written (tests/benchmarks)


def _pairs_per_second(lake: str) -> tuple[float, str]:
    """Return the speed of the largest finished run of this lake, or a usual one."""
    found = tables.read(open_lake(lake).url, "runs", columns=["kind", "n_pairs", "seconds"]).to_pylist()
    runs = [run for run in found if run["kind"] == "score" and run["n_pairs"] and run["n_pairs"] > 1e6]
    if not runs:
        return _USUAL_PAIRS_PER_SECOND, "as measured on two cores"
    largest = max(runs, key=lambda run: int(run["n_pairs"]))
    return max(largest["n_pairs"] / largest["seconds"], 1.0), "as the largest run of this lake did"


def scored(runs: Sequence[Scored], output: str) -> None:
    """Print the runs that a score took."""
    records = [asdict(run) for run in runs]
    rows(records, tuple(records[0]) if records else (), output)
    if not runs:
        click.echo("nothing to score: all is there", err=True)
    for run in runs:
        again = f", {run.resumed} tasks of an interrupted run kept" if run.resumed else ""
        click.echo(
            f"{run.generation}/{run.run}: {run.n_datasets} datasets, {run.n_pairs:,} ROI pairs in "
            f"{run.seconds:.1f} s{again}",
            err=True,
        )


def parse_conditions(conditions: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return free text and column conditions from the command line.

    Examples
    --------
    >>> parse_conditions(["protein=TIGIT", "modality=PALM,PAINT", "n_rois=10..", "NK"])
    ('NK', {'protein': 'TIGIT', 'modality': ['PALM', 'PAINT'], 'n_rois': (10, None)})
    """
    words = [c for c in conditions if "=" not in c]
    filters = dict(c.split("=", 1) for c in conditions if "=" in c)
    return " ".join(words), {name.strip(): _value(text.strip()) for name, text in filters.items()}


def _value(text: str) -> Any:
    if ".." in text:
        low, high = text.split("..", 1)
        return (_value(low) if low else None, _value(high) if high else None)
    if "," in text:
        return [_value(part.strip()) for part in text.split(",")]
    named = {"true": True, "yes": True, "false": False, "no": False, "": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def datasets(catalog: Catalog, output: str) -> None:
    """Print the datasets of a catalog."""
    rows(catalog.datasets.sort_values("dataset").to_dict("records"), _LISTED, output)
    if output == "table":
        click.echo(f"{len(catalog)} datasets", err=True)


def dataset(catalog: Catalog, name: str, output: str) -> None:
    """Print one dataset: its row, its files and its self-similarity."""
    entry = catalog[name]
    files = entry.files.drop(columns=["dataset", "version"]).to_dict("records")
    record = {k: v for k, v in entry.row.items() if k not in ("revision", "state")}
    similarity: dict[str, Any] = {}
    for mode in paths.MODES:
        try:
            similarity[mode] = catalog.self_similarity(name, mode)
        except ValueError as error:
            similarity[mode] = None
            click.echo(f"note: {mode}: {error}", err=True)
    if output != "table":
        rows([record | {"self_similarity": similarity, "files": files}], (), output)
        return
    for key, value in record.items():
        if value not in (None, [], ""):
            click.echo(f"{key:22} {_cell(value)}")
    for mode, found in similarity.items():
        if found:
            sd = "" if found["sd"] is None else f" +- {found['sd']:.3f}"
            click.echo(
                f"{'self-similarity':22} {found['mean']:.3f}{sd} ({mode}, {found['n_pairs']:,} ROI pairs)"
            )
    click.echo()
    _table(
        files,
        (
            "file",
            "format",
            "n_localizations",
            "n_outlines",
            "n_rois",
            "precision_nm",
            "density_per_um2",
            "coverage",
        ),
    )


def ranking(hits: pd.DataFrame, output: str) -> None:
    """Print a ranking, and say which datasets it could not hold."""
    rows(hits.to_dict("records"), tuple(c for c in hits.columns if c not in ("title", "min", "max")), output)
    for key, reason in (
        ("waiting", "not scored yet, run `nanolake score`"),
        ("excluded", f"no ROI for the {hits.attrs['mode']} mode"),
    ):
        names = hits.attrs[key]
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            click.echo(f"note: {len(names)} datasets left out ({reason}): {shown}", err=True)

"""What the commands print: results to stdout as a table, CSV or JSON; remarks to stderr."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from jobs.ingest import Outcome
from jobs.plan import Plan
from jobs.score import Scored
from lake import paths, tables
from lake.parameters import open_lake

if TYPE_CHECKING:  # ingest and score print without them, and start a second earlier
    import pandas as pd

    from catalog import Catalog

_INGESTED = (
    "dataset", "n_files", "n_localizations", "n_rois", "n_rois_dense", "precision_nm", "density_per_um2",
    "coverage", "seconds",
)  # fmt: skip
_LISTED = (
    "dataset", "title", "protein", "cell_type", "fluorophore", "modality", "n_files", "n_localizations", "n_rois",
    "n_rois_dense",
)  # fmt: skip


def rows(records: Sequence[Mapping[Any, Any]], columns: Sequence[str], output: str, header: Sequence[str] = ()) -> None:
    """Print records: a table with the named columns, CSV and JSON with all; the header is for a CSV of none."""
    if output == "json":
        click.echo(json.dumps([_plain(record) for record in records], indent=1))
    elif output == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(records[0] if records else header or columns)
        writer.writerows([_csv_cell(value) for value in record.values()] for record in records)
        click.echo(buffer.getvalue(), nl=False)
    elif records:
        _table(records, columns)


def _csv_cell(value: Any) -> Any:
    """Return a value of one CSV cell; lists as JSON, nothing for what is unknown."""
    plain = _plain(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, (list, dict)) else plain


def _plain(value: Any) -> Any:
    """Return a value that JSON holds: no NaN, times as text."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if str(value) in ("NaT", "<NA>") and not isinstance(value, str):
        return None  # pandas' own names for what is unknown
    return value.isoformat() if hasattr(value, "isoformat") else value


def _table(records: Sequence[Mapping[Any, Any]], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False)
    numeric = {c for c in columns if all(isinstance(r[c], (int, float)) or r[c] is None for r in records)}
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for record in records:
        table.add_row(*(_cell(record[column]) for column in columns))
    console = Console(soft_wrap=False)
    # A pipe has no width of its own: do not fold there. Brackets and colons in a title are no markup.
    width = console.width if console.is_terminal else 10_000
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def ingested(outcome: Outcome, output: str) -> None:
    """Print what an ingest registered; problems and remarks go to stderr, a line each."""
    for note in outcome.notes:
        click.echo(f"note: {note}", err=True)
    texts = [problem.message.partition("\n") for problem in outcome.problems]
    for problem, (line, _, _) in zip(outcome.problems, texts, strict=True):
        click.echo(f"error: {problem.folder.removeprefix('file://')}: {line}", err=True)
    for template in [rest for _, _, rest in texts if rest][:1]:
        click.echo(template, err=True)
    ordered = sorted(outcome.registered, key=lambda row: row["dataset"])
    rows(ordered, _INGESTED, output, tables.DATASETS.names)
    click.echo(
        f"{counted(len(outcome.registered), 'dataset')} registered, {len(outcome.unchanged)} unchanged, "
        f"{counted(len(outcome.problems), 'problem')}",
        err=True,
    )


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "problem"), counted(1200, "dataset")
    ('1 problem', '1,200 datasets')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def planned(plan: Plan | None, lake: str, output: str) -> None:
    """Print what a scoring run would do."""
    if plan is None:
        click.echo(_NOTHING, err=True)
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


_NOTHING = "nothing to score: every dataset of the lake, if there is any, is scored"
_USUAL_PAIRS_PER_SECOND = 3e7  # a full run of 20,000 ROIs on two cores, all written (tests/benchmarks)


def _pairs_per_second(lake: str) -> tuple[float, str]:
    """Return the speed of the largest finished run of this lake, or a usual one."""
    found = tables.read(open_lake(lake).url, "runs", columns=["kind", "n_pairs", "seconds"]).to_pylist()
    runs = [run for run in found if run["kind"] == "score" and run["n_pairs"] and run["n_pairs"] > 1e8]
    if not runs:
        return _USUAL_PAIRS_PER_SECOND, "as measured on two cores"
    largest = max(runs, key=lambda run: int(run["n_pairs"]))
    return max(largest["n_pairs"] / largest["seconds"], 1.0), "as the largest run of this lake did"


_SCORED = ("generation", "run", "n_datasets", "n_pairs", "n_tiles", "seconds", "resumed")


def scored(runs: Sequence[Scored], output: str) -> None:
    """Print the runs that a score took."""
    records = [asdict(run) for run in runs]
    rows(records, _SCORED, output)
    if not runs:
        click.echo(_NOTHING, err=True)
    for run in runs:
        again = f", {run.resumed} tasks of an interrupted run kept" if run.resumed else ""
        click.echo(
            f"{run.generation}/{run.run}: {counted(run.n_datasets, 'dataset')}, {run.n_pairs:,} ROI pairs in "
            f"{run.seconds:.1f} s, thinned to {run.thinning_density_per_um2:g} localizations per um2{again}",
            err=True,
        )


def parse_conditions(conditions: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return free text and column conditions from the command line.

    Examples
    --------
    >>> parse_conditions(["protein=TIGIT", "modality=PALM,PAINT", "n_rois=10..", "NK"])
    ('NK', {'protein': 'TIGIT', 'modality': ['PALM,PAINT', 'PALM', 'PAINT'], 'n_rois': (10, None)})
    """
    words = [c for c in conditions if "=" not in c]
    filters: dict[str, Any] = {}
    for condition in conditions:
        name, found, text = (part.strip() for part in condition.partition("="))
        if found and name in filters:
            raise ValueError(f"{name} is given twice; write alternatives behind one sign: {name}=A,B")
        if found:
            filters[name] = _value(text, _is_text(name)) if text else None
    return " ".join(words), filters


def _is_text(column: str) -> bool:
    """Return whether a column holds texts or lists of them."""
    if column not in tables.DATASETS.names:
        return False
    kind = tables.DATASETS.field(column).type
    return bool(pa.types.is_string(kind) or pa.types.is_list(kind))


def _value(text: str, is_text: bool) -> Any:
    """Return what a condition asks for; texts are not taken for numbers, and may hold commas themselves."""
    if is_text:
        return [text, *(part.strip() for part in text.split(","))] if "," in text else text
    if ".." in text:
        low, high = text.split("..", 1)
        return (_number(low) if low else None, _number(high) if high else None)
    return [_number(part.strip()) for part in text.split(",")] if "," in text else _number(text)


def _number(text: str) -> Any:
    named = {"true": True, "yes": True, "false": False, "no": False}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def datasets(catalog: "Catalog", output: str) -> None:
    """Print the datasets of a catalog."""
    frame = catalog.datasets.sort_values("dataset")
    rows(frame.to_dict("records"), _LISTED, output, list(frame.columns))
    if output == "table":
        click.echo(counted(len(catalog), "dataset"), err=True)


def dataset(catalog: "Catalog", name: str, output: str) -> None:
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
            click.echo(f"{'self-similarity':22} {found['mean']:.3f}{sd} ({mode}, {found['n_pairs']:,} ROI pairs)")
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


def ranking(hits: "pd.DataFrame", output: str) -> None:
    """Print a ranking, and say which datasets it could not hold."""
    shown = tuple(c for c in hits.columns if c not in ("title", "min", "max"))
    rows(hits.to_dict("records"), shown, output, list(hits.columns))
    for key, reason in (
        ("waiting", "not scored yet, run `nanolake score`"),
        ("excluded", f"no ROI for the {hits.attrs['mode']} mode"),
    ):
        names = hits.attrs[key]
        if names:
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            click.echo(f"note: {counted(len(names), 'dataset')} left out ({reason}): {listed}", err=True)

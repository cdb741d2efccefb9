"""The Delta tables of a lake: datasets, files, runs and scores. The only thing that commits.

Rows are only ever appended. What is current follows from them: the row with the highest revision of a dataset
says whether it is live and in which version, and the newest published run of the newest generation says which
scores count. An append either is there whole or not at all, and two writers lose nothing.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from pyarrow.parquet import filters_to_expression

from lake import paths, storage

_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = pa.list_(pa.string())

DATASETS = pa.schema(
    [
        ("dataset", pa.string()),
        ("title", pa.string()),
        ("version", pa.string()),
        ("revision", pa.int64()),
        ("state", pa.string()),
        ("modality", pa.string()),
        ("protein", pa.string()),
        ("uniprot", pa.string()),
        ("cell_type", pa.string()),
        ("fluorophore", pa.string()),
        ("localization_software", pa.string()),
        ("drift_corrected", pa.bool_()),
        ("blink_corrected", pa.bool_()),
        ("pixel_size_nm", pa.float64()),
        ("n_files", pa.int64()),
        ("n_localizations", pa.int64()),
        ("n_rois", pa.int64()),
        ("n_rois_occupied", pa.int64()),
        ("n_rois_dense", pa.int64()),
        ("precision_nm", pa.float64()),
        ("density_per_um2", pa.float64()),
        ("coverage", pa.float64()),
        ("area_um2", pa.float64()),
        ("max_bin_count", pa.int64()),
        ("nbytes", pa.int64()),
        ("description", pa.string()),
        ("tags", _TEXTS),
        ("authors", _TEXTS),
        ("antibodies", _TEXTS),
        ("links", _TEXTS),
        ("doi", pa.string()),
        ("contact", pa.string()),
        ("raw_data", pa.string()),
        ("license", pa.string()),
        ("source", pa.string()),
        ("ingested_at", _TIME),
        ("seconds", pa.float64()),
    ]
)
"""One row each time a dataset is ingested, replaced or removed."""

FILES = pa.schema(
    [
        ("dataset", pa.string()),
        ("version", pa.string()),
        ("file", pa.string()),
        ("format", pa.string()),
        ("sha256", pa.string()),
        ("nbytes", pa.int64()),
        ("n_localizations", pa.int64()),
        ("n_outlines", pa.int64()),
        ("n_rois", pa.int64()),
        ("start", pa.int64()),
        ("precision_nm", pa.float64()),
        ("density_per_um2", pa.float64()),
        ("coverage", pa.float64()),
        ("area_um2", pa.float64()),
        ("provenance", pa.string()),
    ]
)
"""One row a localization file of a dataset version."""

RUNS = pa.schema(
    [
        ("run", pa.string()),
        ("kind", pa.string()),
        ("generation", pa.string()),
        ("sequence", pa.int64()),
        ("started_at", _TIME),
        ("finished_at", _TIME),
        ("seconds", pa.float64()),
        ("user", pa.string()),
        ("host", pa.string()),
        ("workers", pa.int64()),
        ("nanolake", pa.string()),
        ("parameters", pa.string()),
        ("n_datasets", pa.int64()),
        ("n_pairs", pa.int64()),
        ("n_tiles", pa.int64()),
        ("datasets_version", pa.int64()),
        ("scores_version", pa.int64()),
        ("datasets", _TEXTS),
        ("versions", _TEXTS),
        ("rois_unthinned", pa.list_(pa.int64())),
        ("rois_thinned", pa.list_(pa.int64())),
    ]
)
"""One row a finished ingest, removal or scoring run; for scoring, the ROIs that the run added, in order."""

SCORES = pa.schema(
    [
        ("generation", pa.string()),
        ("run", pa.string()),
        ("mode", pa.string()),
        ("dataset", pa.string()),
        ("version", pa.string()),
        ("other", pa.string()),
        ("other_version", pa.string()),
        ("n_pairs", pa.int64()),
        ("mean", pa.float64()),
        ("sd", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("histogram", pa.list_(pa.int64())),
    ]
)
"""One row a mode and ordered pair of datasets, so that one dataset's scores lie together."""

SCHEMAS: dict[str, pa.Schema] = {"datasets": DATASETS, "files": FILES, "runs": RUNS, "scores": SCORES}
_PARTITIONS = {"scores": ["generation"]}

COMPACT_ABOVE = 32
"""Files above which a table is compacted: a read costs about 5 ms a file, whatever the file holds (measured)."""

_DONE = ".done"
_TURN_SECONDS = 86_400.0
"""Age at which a compaction that did not say it is done has died; it takes seconds."""

_RETRIES = 30
"""Delta tries a commit anew after another writer's; enough for dozens of writers at once."""


class AlreadyCommittedError(ValueError):
    """Another writer has committed this transaction, or a later one of the same name."""


def create(url: str) -> None:
    """Make the empty tables that are not there yet."""
    for name, schema in SCHEMAS.items():
        DeltaTable.create(
            f"{url}/{paths.table(name)}",
            schema=schema,
            mode="ignore",
            partition_by=_PARTITIONS.get(name),
            storage_options=storage.table_options(url),
        )


def open_table(url: str, name: str, version: int | None = None) -> DeltaTable:
    """Open a table, at its newest version or at a given one.

    Raises
    ------
    ValueError
        If the table is not there: the folder is no lake, or part of it was deleted.
    """
    try:
        return DeltaTable(f"{url}/{paths.table(name)}", version=version, storage_options=storage.table_options(url))
    except TableNotFoundError:
        raise ValueError(f"{url}: table {name} is missing; is part of the lake deleted?") from None


def read(
    url: str,
    name: str,
    columns: Sequence[str] | None = None,
    filters: list[tuple[str, str, Any]] | None = None,
    version: int | None = None,
) -> pa.Table:
    """Return rows of a table.

    Parameters
    ----------
    url : str
        Normalised URL of the lake.
    name : str
        Key of :data:`SCHEMAS`.
    columns : sequence of str, optional
        Columns to read; all by default.
    filters : list of (column, operator, value), optional
        Conditions that all must hold.
    version : int, optional
        Version of the table; the newest by default.
    """
    filesystem = storage.table_filesystem(url, paths.table(name))
    files = open_table(url, name, version).to_pyarrow_dataset(filesystem=filesystem)
    condition = None if filters is None else filters_to_expression(filters)
    # Threads only where they end with the read: see table_filesystem.
    return files.to_table(
        columns=None if columns is None else list(columns), filter=condition, use_threads=filesystem is not None
    )


def version(url: str, name: str) -> int:
    """Return the newest version of a table."""
    return int(open_table(url, name).version())


def append(url: str, name: str, rows: Iterable[dict[str, Any]] | pa.Table) -> int:
    """Append rows in one commit; return the version of the table that holds them."""
    data = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=SCHEMAS[name])
    table = open_table(url, name)
    if data.num_rows:
        write_deltalake(table, data, mode="append", commit_properties=CommitProperties(max_commit_retries=_RETRIES))
    _compact(url, name)
    return version(url, name)


def append_once(url: str, name: str, rows: pa.Table, transaction: str, sequence: int) -> None:
    """Append rows unless a transaction of this name and sequence, or a later one, was committed.

    Raises
    ------
    AlreadyCommittedError
        If it was, by an earlier attempt or by another writer at the same time.
    """
    table = open_table(url, name)
    present = table.transaction_version(transaction)
    if present is not None and present >= sequence:
        raise AlreadyCommittedError(f"{name}: transaction {transaction} {sequence} is committed already")
    properties = CommitProperties(max_commit_retries=_RETRIES, app_transactions=[Transaction(transaction, sequence)])
    try:
        write_deltalake(table, rows, mode="append", commit_properties=properties)
    except CommitFailedError as error:
        present = open_table(url, name).transaction_version(transaction)
        if present is not None and present >= sequence:
            raise AlreadyCommittedError(
                f"{name}: transaction {transaction} {sequence} was committed by another writer"
            ) from error
        raise
    _compact(url, name)


def _compact(url: str, name: str) -> None:
    """Merge the small files of a table once there are many."""
    if len(open_table(url, name).file_uris()) >= COMPACT_ABOVE:
        _merge_files(url, name)


def _merge_files(url: str, name: str) -> None:
    """Merge the small files of a table, unless another writer is at it.

    Compactions take turns, because deltalake 1.6 lets two of the same files commit (it looks neither for files
    that both remove nor at their transactions), and then every row is there twice.
    """
    turn = _take_turn(url, name)
    if turn is None:
        return
    try:
        table = open_table(url, name)
        table.optimize.compact()
        table.create_checkpoint()
    except CommitFailedError:
        return
    finally:
        storage.write(url, f"{paths.compaction(name, turn)}{_DONE}", b"")


def _take_turn(url: str, name: str) -> int | None:
    """Return the number of a compaction that nobody else may do, None while another one is at work."""
    folder = paths.compactions(name)
    changed = {key.removeprefix(f"{folder}/"): when for key, _, when in storage.keys(url, folder)}
    last = max((int(key) for key in changed if not key.endswith(_DONE)), default=0)
    if last:
        key = paths.compaction(name, last).removeprefix(f"{folder}/")
        if key + _DONE not in changed and time.time() - changed[key] < _TURN_SECONDS:
            return None
    return last + 1 if storage.create(url, paths.compaction(name, last + 1), b"") else None


def compact(url: str, generation: str | None) -> None:
    """Drop the score rows of earlier generations, and merge the small files of all tables."""
    if generation is not None:
        open_table(url, "scores").delete(f"generation < '{generation}'")
    for name in SCHEMAS:
        _merge_files(url, name)


def vacuum(url: str, older_than_days: float) -> None:
    """Delete the table files that no version younger than so many days needs."""
    for name in SCHEMAS:
        open_table(url, name).vacuum(
            retention_hours=int(older_than_days * 24), dry_run=False, enforce_retention_duration=False
        )

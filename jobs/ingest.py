"""Ingest: find what is new in a collection, have the workers build it, register it, publish it.

A dataset is registered when all its files were read and all its arrays are written, and not otherwise; the
others go on without it. Whatever an interrupted ingest registered or finished is not done again.
"""

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from jobs import ingest_tasks
from jobs.candidates import Candidate, Known, Report, find_candidates
from jobs.cluster import Workers
from jobs.ingest_tasks import Facts, Problem, Target
from jobs.progress import Advance, progress_bar
from jobs.runs import publish_row
from lake import current, paths, tables
from lake.columns import COLUMNS
from lake.parameters import Lake

REGISTER_SECONDS = 2.0
"""Datasets finished within this time are registered in one commit: a commit takes about 70 ms."""

MEMORY_SHARE = 0.25
"""Part of the workers' memory that source files on their way may fill; parsed, they take about as much again."""


class StrictError(ValueError):
    """The first problem of a strict ingest."""


@dataclass
class Outcome:
    """What an ingest did.

    Attributes
    ----------
    registered : list of dict
        Rows of the datasets table, new or changed.
    unchanged : list of str
        Ids of datasets that were there already in this version.
    problems : list of Problem
        Why the other datasets were not registered.
    notes : list of str
        Entries of the collection that were not read.
    """

    registered: list[dict[str, Any]] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Job:
    """A dataset version on its way through the workers."""

    target: Target
    started: float
    reads: list[Any] = field(default_factory=list)
    facts: dict[int, Facts] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    sealing: list[Any] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(file.nbytes for file in self.target.folder.files)


def ingest(
    lake: Lake,
    collections: Sequence[str],
    cluster: Callable[[], AbstractContextManager[Workers]],
    *,
    whole_field: bool = False,
    strict: bool = False,
) -> Outcome:
    """Ingest collections into a lake.

    Parameters
    ----------
    lake : Lake
        The lake.
    collections : sequence of str
        Folders or fsspec URLs.
    cluster : callable
        Starts the workers.
    whole_field : bool
        Tile the bounding box of files without outlines.
    strict : bool
        Stop at the first problem.

    Raises
    ------
    StrictError
        With ``strict``, at the first problem.
    ValueError
        If a collection is not there.
    """
    started = dt.datetime.now(dt.UTC)
    outcome = Outcome()
    report = _reporter(outcome, strict=strict)
    known = Known.of(lake)
    candidates = find_candidates(collections, known, outcome.notes, report)
    if candidates:
        n_files = sum(len(candidate.folder.files) for candidate in candidates)
        # Each file counts twice: when its checksum is there, and when it is read or need not be.
        with cluster() as workers, progress_bar("ingest", 2 * n_files) as advance:
            targets = _targets(lake, candidates, known, workers, outcome, report, advance, whole_field=whole_field)
            advance(n_files - sum(len(target.folder.files) for target in targets))
            _build(lake, targets, known, workers, outcome, report, advance)
    _publish(lake, outcome, started)
    return outcome


def _reporter(outcome: Outcome, *, strict: bool) -> Report:
    def report(problem: Problem) -> None:
        outcome.problems.append(problem)
        if strict:
            raise StrictError(f"{problem.folder.removeprefix('file://')}: {problem.message}")

    return report


def _targets(
    lake: Lake,
    candidates: Sequence[Candidate],
    known: Known,
    workers: Workers,
    outcome: Outcome,
    report: Report,
    advance: Advance,
    *,
    whole_field: bool,
) -> list[Target]:
    """Return the dataset versions that are not registered yet."""
    files = [(c, i) for c in range(len(candidates)) for i in range(len(candidates[c].folder.files))]
    futures = {}
    for c, i in files:
        futures[workers.submit(ingest_tasks.digest_task, candidates[c].folder.files[i])] = (c, i)
    digests: dict[int, dict[int, tuple[str, str]]] = {c: {} for c in range(len(candidates))}
    broken: set[int] = set()
    for future in workers.finished(list(futures)):
        c, i = futures[future]
        advance(1, candidates[c].dataset)
        if (error := future.exception()) is not None:
            broken.add(c)
            report(Problem(candidates[c].folder.url, f"{candidates[c].folder.files[i].name}: {error}"))
        else:
            digests[c][i] = future.result()
    targets = []
    for c, candidate in enumerate(candidates):
        if c in broken:
            continue
        own = [digests[c][i] for i in range(len(candidate.folder.files))]
        if message := ingest_tasks.repeated_file(candidate.folder, own):
            report(Problem(candidate.folder.url, message))
            continue
        target = _target(lake, known, candidate, own, whole_field=whole_field)
        if known.versions.get(target.dataset) == target.version:
            outcome.unchanged.append(target.dataset)
        else:
            targets.append(target)
    return targets


def _target(
    lake: Lake, known: Known, candidate: Candidate, digests: Sequence[tuple[str, str]], *, whole_field: bool
) -> Target:
    # Where every file has its outlines the option changes nothing, and must not make a new version.
    whole_field = whole_field and not all(file.outlines for file in candidate.folder.files)
    content = ingest_tasks.dataset_version(lake, candidate.text, candidate.folder, digests, whole_field=whole_field)
    version = known.version(candidate.dataset, content)
    return Target(
        url=lake.url,
        prefix=paths.dataset(candidate.dataset, version),
        dataset=candidate.dataset,
        version=version,
        folder=candidate.folder,
        metadata=candidate.metadata,
        digests=tuple(own for own, _ in digests),
        parameters=lake.parameters,
        whole_field=whole_field,
    )


def _build(
    lake: Lake,
    targets: Sequence[Target],
    known: Known,
    workers: Workers,
    outcome: Outcome,
    report: Report,
    advance: Advance,
) -> None:
    """Have the workers build dataset versions; register each when it is finished."""
    waiting = deque(targets)
    running: dict[Any, tuple[_Job, int]] = {}
    ready: list[tuple[_Job, dict[str, Any]]] = []
    registered = time.monotonic()
    completed = workers.finished([])
    while waiting or running:
        _start_jobs(waiting, running, completed, workers)
        future = next(iter(completed))
        job, index = running.pop(future)
        _step(job, index, future, running, completed, workers, advance)
        if job.sealing and future is job.sealing[-1] and not job.messages:
            ready.append((job, future.result()))
        if job.messages and not any(owner is job for owner, _ in running.values()):
            for message in job.messages:
                report(Problem(job.target.folder.url, message))
        if ready and (time.monotonic() - registered > REGISTER_SECONDS or not (waiting or running)):
            _register(lake, ready, known, outcome)
            ready, registered = [], time.monotonic()


def _start_jobs(waiting: deque[Target], running: dict[Any, tuple[_Job, int]], completed: Any, workers: Workers) -> None:
    """Start as many datasets as the workers' memory holds, and always one."""
    budget = MEMORY_SHARE * workers.memory_bytes * workers.count
    jobs = {id(job): job for job, _ in running.values()}
    used = sum(job.nbytes for job in jobs.values())
    while waiting and (not running or used + sum(f.nbytes for f in waiting[0].folder.files) <= budget):
        job = _Job(waiting.popleft(), time.monotonic())
        used += job.nbytes
        if ingest_tasks.finished(job.target) is not None:
            future = workers.submit(ingest_tasks.finished, job.target)
            job.sealing.append(future)
            running[future] = (job, -1)
            completed.add(future)
            continue
        for index in range(len(job.target.folder.files)):
            read = workers.submit(ingest_tasks.read_task, job.target, index)
            facts = workers.submit(ingest_tasks.facts_task, read)
            job.reads.append(read)
            running[facts] = (job, index)
            completed.add(facts)


def _step(
    job: _Job,
    index: int,
    future: Any,
    running: dict[Any, tuple[_Job, int]],
    completed: Any,
    workers: Workers,
    advance: Advance,
) -> None:
    """Take one finished task of a dataset, and start the next stage after the last file."""
    error = future.exception()
    if error is not None:
        job.messages.append(_message(job, index, error))
    if index < 0:
        job.reads.clear()
        return
    advance(1, job.target.dataset)
    if error is None:
        job.facts[index] = future.result()
    if len(job.facts) < len(job.target.folder.files):
        return
    message = _no_rois(job)
    if message:
        job.messages.append(message)
        job.reads.clear()
        return
    _seal(job, running, completed, workers)


def _message(job: _Job, index: int, error: BaseException) -> str:
    """Return one line on what went wrong; only the user's mistakes speak for themselves."""
    if isinstance(error, ValueError):
        return str(error)
    name = job.target.folder.files[index].name if index >= 0 else job.target.dataset
    return f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _no_rois(job: _Job) -> str | None:
    if any(facts.values["n_rois"] for facts in job.facts.values()):
        return None
    side = job.target.parameters.grid.tile_nm / 1000
    first, *others = (file.name for file in job.target.folder.files)
    files = f"{first} and {len(others)} more" if others else first
    return (
        f"{files}: 0 ROIs: no tile of {side:g} x {side:g} um lies wholly inside an outline; "
        "check that the outlines are in micrometres and belong to these files, or use --whole-field without outlines"
    )


def _seal(job: _Job, running: dict[Any, tuple[_Job, int]], completed: Any, workers: Workers) -> None:
    """Start the tasks that write a dataset whose files are all read."""
    order = range(len(job.reads))
    bounds = [0]
    for i in order:
        bounds.append(bounds[-1] + job.facts[i].values["n_localizations"])
    present = {name for facts in job.facts.values() for name in facts.columns}
    names = tuple(name for name in COLUMNS if name in present)
    made = workers.submit(ingest_tasks.create_task, job.target, names, bounds[-1])
    writes = [
        workers.submit(
            ingest_tasks.write_task,
            job.target,
            piece,
            bounds,
            names,
            made,
            *(job.reads[i] for i in piece.files),
        )
        for piece in ingest_tasks.pieces([facts.values["n_localizations"] for _, facts in sorted(job.facts.items())])
    ]
    light = [workers.submit(ingest_tasks.rois_task, read) for read in job.reads]
    sealed = workers.submit(ingest_tasks.seal_task, job.target, bounds, names, light, writes)
    job.sealing.append(sealed)
    running[sealed] = (job, -1)
    completed.add(sealed)


def _register(lake: Lake, ready: Sequence[tuple[_Job, dict[str, Any]]], known: Known, outcome: Outcome) -> None:
    """Append finished versions to the tables: files first, so that no dataset is there without them."""
    rows, files = [], []
    for job, attributes in ready:
        revision = known.revisions.get(job.target.dataset, 0) + 1
        row, own_files = ingest_tasks.table_rows(job.target, attributes, revision)
        row |= {
            "ingested_at": dt.datetime.now(dt.UTC),
            "seconds": time.monotonic() - job.started,
        }
        rows.append(row)
        files += own_files
    tables.append(lake.url, "files", files)
    tables.append(lake.url, "datasets", rows)
    outcome.registered += rows


def _publish(lake: Lake, outcome: Outcome, started: dt.datetime) -> None:
    """Append the row by which readers see what was registered, by this ingest or by one that died."""
    version = tables.version(lake.url, "datasets")
    if version > current.published(lake.url).datasets_version:
        publish_row(lake, "ingest", started, {"datasets_version": version, "n_datasets": len(outcome.registered)})

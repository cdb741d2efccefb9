"""Where tasks run: the only module that knows Dask's clusters."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import distributed
import psutil

_QUIET = {"distributed.admin.low-level-log-length": 0, "logging.distributed": "error"}


@dataclass(frozen=True)
class Workers:
    """A running cluster.

    Attributes
    ----------
    client : distributed.Client
        Its client.
    count : int
        Workers at the start.
    memory_bytes : int
        Memory of one worker.
    """

    client: Any
    count: int
    memory_bytes: int

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """Start a task and return its future; futures among the arguments are its inputs."""
        return self.client.submit(task, *arguments, pure=False)

    def finished(self, futures: list[Any]) -> "Finished":
        """Return an iterator over futures as they finish, to which more can be added."""
        return Finished(distributed.as_completed(futures))


class Finished:
    """Futures in the order in which they finish; more may be added on the way."""

    def __init__(self, completed: Any) -> None:
        self._completed = completed

    def __iter__(self) -> Iterator[Any]:
        return iter(self._completed)

    def add(self, future: Any) -> None:
        """Wait for one more future."""
        self._completed.add(future)


def default_workers() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@contextmanager
def local_cluster(workers: int | None = None) -> Iterator[Workers]:
    """Run worker threads in this process for the length of a ``with`` block.

    Threads, because the tasks spend their time in compiled code that lets go of Python's lock; processes would
    first import the libraries once each, which takes longer than most jobs (scoring, measured: 1 s against 14 s for a
    small lake).
    """
    count = workers or default_workers()
    memory = psutil.virtual_memory().total
    # A cluster that closes may leave a future that timed out; asyncio says so on stderr long after it mattered.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with (
        dask.config.set(_QUIET),
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=count,
            processes=False,
            memory_limit=memory,
            dashboard_address=None,
            # Without a dashboard, distributed still asks for port 8787 and warns when another run has it.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,  # a file that cannot be read is reported in one line, not a traceback
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Workers(client, count, memory // count)

"""Where tasks run: the only module that knows Dask's clusters."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import distributed
import psutil

_QUIET = {
    "distributed.worker.memory.terminate": False,  # a paused worker ends its task; a killed one repeats it
    "distributed.admin.low-level-log-length": 0,
    "distributed.comm.retry.count": 3,
    "distributed.nanny.pre-spawn-environ": {
        # One thread a worker: the linear algebra libraries must not add their own.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    },
    "logging.distributed": "error",
}


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
    """Run worker processes on this machine, one thread each, for the length of a ``with`` block."""
    count = workers or default_workers()
    memory = psutil.virtual_memory().total // count
    with (
        dask.config.set(_QUIET),
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=memory,
            dashboard_address=None,
            silence_logs=40,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Workers(client, count, memory)

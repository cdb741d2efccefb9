"""Every path inside a lake, and the version of the format. Nobody else joins paths.

All paths are relative to the lake's URL and use ``/``.
"""

FORMAT_VERSION = 1
"""Version of this layout. A lake of a newer version is refused; there is no older one."""

LAKE = "lake.yaml"
CATALOG = "catalog.yaml"

MODES = ("unthinned", "thinned")
"""The two ways of comparing ROIs: as they are, and at one common density."""


def table(name: str) -> str:
    """Return the folder of a Delta table."""
    return f"tables/{name}"


def compactions(table_name: str) -> str:
    """Return the folder in which the compactions of a table take turns."""
    return f"tables/_compactions/{table_name}"


def compaction(table_name: str, number: int) -> str:
    """Return the object that belongs to whoever does the n-th compaction of a table."""
    return f"{compactions(table_name)}/{number:06d}"


def datasets() -> str:
    """Return the folder of all datasets."""
    return "datasets"


def dataset(dataset_id: str, version: str) -> str:
    """Return the Zarr group of one version of a dataset."""
    return f"{datasets()}/{dataset_id}/{version}"


def generation_id(number: int) -> str:
    """Return the name of the n-th generation of scores.

    Examples
    --------
    >>> generation_id(3)
    'g0003'
    """
    return f"g{number:04d}"


def similarity() -> str:
    """Return the folder of all generations."""
    return "similarity"


def generation(generation: str) -> str:
    """Return the folder of one generation."""
    return f"{similarity()}/{generation}"


def run(generation_name: str, run_id: str) -> str:
    """Return the folder of one scoring run."""
    return f"{generation(generation_name)}/{run_id}"


def plan(generation_name: str, run_id: str) -> str:
    """Return the object that says what a scoring run computes."""
    return f"{run(generation_name, run_id)}/plan.json"


def panel(generation_name: str, run_id: str, mode: str) -> str:
    """Return the Zarr group of a run's lambda panel."""
    return f"{run(generation_name, run_id)}/{mode}"


def checksums(generation_name: str, run_id: str) -> str:
    """Return the object that holds the checksums of a run's panels."""
    return f"{run(generation_name, run_id)}/checksums.json"


def partials(generation_name: str, run_id: str) -> str:
    """Return the folder of a run's finished tasks."""
    return f"{run(generation_name, run_id)}/partial"


def partial(generation_name: str, run_id: str, mode: str, task: str) -> str:
    """Return the object that a finished task leaves."""
    return f"{partials(generation_name, run_id)}/{mode}-{task}"

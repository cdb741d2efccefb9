"""Progress on stderr, and only on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True)
"""Where messages for people go; stdout is for results."""


class Advance(Protocol):
    """Report work done."""

    def __call__(self, amount: float, note: str = "") -> None:
        """Add an amount of work and show a note beside the bar."""


@contextmanager
def progress_bar(title: str, total: float) -> Iterator[Advance]:
    """Show one bar for the length of a ``with`` block."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total, note="")

        def advance(amount: float, note: str = "") -> None:
            bar.update(task, advance=amount, note=note)

        yield advance

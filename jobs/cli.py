"""The command line: ``nanolake``. Commands stand in the order of work; what they do stands in other modules."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

FORMATS = click.Choice(["table", "csv", "json"])
_OPTION_FORMAT = click.option(
    "--format", "output", type=FORMATS, default="table", show_default=True, help="How to print the result."
)
_OPTION_WORKERS = click.option("--workers", type=click.IntRange(1), help="Workers; by default one a core.")
_OPTION_MODE = click.option(
    "--mode",
    type=click.Choice(["thinned", "unthinned"]),
    default="thinned",
    show_default=True,
    help="Compare at one common density, or as measured.",
)


class Commands(click.Group):
    """A group that lists its commands in the order of work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        del ctx
        return list(self.commands)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turn a user's mistake into one line on stderr and exit status 1."""
    try:
        yield
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except (ValueError, KeyError, TypeError, OSError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"
        click.echo(f"error: {text}".replace("file://", ""), err=True)
        sys.exit(1)
    except Exception as error:
        from lake import storage

        if not isinstance(error, storage.ERRORS):
            raise
        reason = str(error).splitlines()[0]
        click.echo(f"error: {reason}; check the URL, the network and the credentials (AWS_...)", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("interrupted; run the same command again to go on", err=True)
        sys.exit(130)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `nanolake demo`. LAKE is a folder or s3://bucket/prefix; credentials come from the "
    "environment. Results go to stdout, everything else to stderr; exit status 1 means that something was "
    "wrong and says what.",
)
@click.version_option(package_name="nanolake")
def main() -> None:
    """An open data lake for single-molecule localization microscopy, searchable by nanoscale similarity.

    The flow: init a lake, ingest collections, score what is new, ask for what is similar.
    """


@main.command()
@click.argument("lake")
@click.option("--bin-nm", type=float, default=30.0, show_default=True, help="Side of a bin in nm.")
@click.option("--tile-bins", type=int, default=100, show_default=True, help="Bins along the side of a tile.")
@click.option(
    "--thinning-density",
    "thinning_density_per_um2",
    type=float,
    default=100.0,
    show_default=True,
    help="Localizations per um2 of the thinned mode; sparser ROIs are left out of it.",
)
@click.option(
    "--thinning",
    type=click.Choice(["exact", "monte-carlo"]),
    default="exact",
    show_default=True,
    help="Expected histogram in closed form, or the mean of random subsamples.",
)
@click.option(
    "--thinning-repeats", type=int, default=100, show_default=True, help="Subsamples of the Monte Carlo thinning."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the Monte Carlo thinning.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Significance level at lambda = 1.")
@click.option(
    "--lambda-dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Precision in which lambda matrices are stored.",
)
def init(lake: str, **values: Any) -> None:
    """Make an empty lake.

    \b
    nanolake init mylake
    nanolake init s3://lab/lake --thinning-density 30
    """
    from jobs import pipeline
    from lake.parameters import parameters_from

    with _one_line():
        made = pipeline.init(lake, parameters_from(values, "init"))
        click.echo(
            f"lake {made.lake_id} at {made.url}; next: nanolake ingest {shlex.quote(lake)} COLLECTION",
            err=True,
        )


@main.command()
@click.argument("lake")
@click.argument("collections", nargs=-1, required=True, metavar="COLLECTION...")
@click.option("--whole-field", is_flag=True, help="Tile the whole field of files without outlines.")
@click.option("--strict", is_flag=True, help="Stop at the first problem.")
@_OPTION_WORKERS
@_OPTION_FORMAT
def ingest(
    lake: str, collections: tuple[str, ...], whole_field: bool, strict: bool, workers: int | None, output: str
) -> None:
    """Ingest collections: folders of dataset folders, on disk or at any fsspec URL.

    A dataset folder holds localization files (any format that nanolake reads, found by content), outlines
    <file stem>_ROI*.csv (header X,Y, micrometres) and dataset.yaml. What is there already is not done again;
    a changed folder becomes a new version. A dataset with a broken file is reported and left out, the others go
    on; the exit status is then 1.
    """
    from jobs import pipeline, printing

    with _one_line():
        outcome = pipeline.ingest(lake, collections, workers=workers, whole_field=whole_field, strict=strict)
        printing.ingested(outcome, output)
        if outcome.problems:
            sys.exit(1)


def _generation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--thinning-density",
            "thinning_density_per_um2",
            type=float,
            help="With --full: localizations per um2 of the thinned mode.",
        ),
        click.option("--thinning", type=click.Choice(["exact", "monte-carlo"]), help="With --full: how to thin."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("lake")
@click.option("--full", is_flag=True, help="Score everything anew, in a new generation.")
@click.option("--dry-run", is_flag=True, help="Only print pairs, tiles, bytes and an estimate of the time.")
@click.option("--tile-rois", type=click.IntRange(1), help="ROIs along the side of a lambda tile.")
@_generation_options
@_OPTION_WORKERS
@_OPTION_FORMAT
def score(
    lake: str,
    full: bool,
    dry_run: bool,
    tile_rois: int | None,
    workers: int | None,
    output: str,
    **overrides: Any,
) -> None:
    """Score what is missing: every new ROI against every other one.

    An interrupted run goes on where it was. Readers see the last finished run all the while.
    """
    from jobs import pipeline, plan, printing

    with _one_line():
        given = {name: value for name, value in overrides.items() if value is not None}
        tile = tile_rois or plan.TILE
        if dry_run:
            printing.planned(pipeline.plan(lake, full=full, tile=tile, **given), lake, output)
        else:
            runs = pipeline.score(lake, full=full, workers=workers, tile=tile, **given)
            printing.scored(runs, output)


@main.command()
@click.argument("lake")
@click.argument("conditions", nargs=-1, metavar="[COLUMN=VALUE | WORD]...")
@_OPTION_FORMAT
def ls(lake: str, conditions: tuple[str, ...], output: str) -> None:
    """List datasets, all or those that meet every condition.

    \b
    nanolake ls LAKE protein=TIGIT modality=dSTORM,PALM
    nanolake ls LAKE density_per_um2=50.. 'NK cell'
    """
    from catalog import open_catalog
    from jobs import printing

    with _one_line():
        text, filters = printing.parse_conditions(conditions)
        printing.datasets(open_catalog(lake).search(text, **filters), output)


@main.command()
@click.argument("lake")
@click.argument("dataset")
@_OPTION_FORMAT
def show(lake: str, dataset: str, output: str) -> None:
    """Show a dataset: metadata, files, quality and self-similarity."""
    from catalog import open_catalog
    from jobs import printing

    with _one_line():
        printing.dataset(open_catalog(lake), dataset, output)


@main.command()
@click.argument("lake")
@click.argument("dataset", metavar="DATASET|FILE")
@_OPTION_MODE
@click.option("--top", type=click.IntRange(1), help="Hits to print; all by default.")
@click.option("--outline", "outlines", multiple=True, help="Outline of FILE; may be given several times.")
@click.option("--whole-field", is_flag=True, help="Tile the whole field of a FILE without outlines.")
@click.option("--pixel-size-nm", type=float, help="For a FILE that counts in camera pixels.")
@_OPTION_FORMAT
def similar(
    lake: str,
    dataset: str,
    mode: str,
    top: int | None,
    outlines: tuple[str, ...],
    whole_field: bool,
    pixel_size_nm: float | None,
    output: str,
) -> None:
    """Rank datasets by similarity to DATASET, or to a local FILE that is scored here and uploaded nowhere.

    The mean lambda ascends: the first hit is the most similar. A lambda above 1 is a significant difference.
    What differs in dye, modality, software and corrections stands beside each hit: lambda measures it too.
    """
    from catalog import open_catalog
    from jobs import printing

    with _one_line():
        hits = open_catalog(lake).similar(
            dataset, mode, top, outlines=outlines, whole_field=whole_field, pixel_size_nm=pixel_size_nm
        )
        printing.ranking(hits, output)


@main.command()
@click.argument("lake")
@click.argument("dataset")
def remove(lake: str, dataset: str) -> None:
    """Take a dataset out of the catalog. Its arrays stay until they are vacuumed."""
    from jobs import pipeline

    with _one_line():
        pipeline.remove(lake, dataset)
        click.echo(f"removed {dataset}", err=True)


@main.command()
@click.argument("lake")
def verify(lake: str) -> None:
    """Check every array against its checksums, and compute a sample of lambda values again."""
    from jobs import printing, upkeep
    from lake.parameters import open_lake

    with _one_line():
        found = upkeep.verify(open_lake(lake))
        for problem in found.problems:
            click.echo(f"error: {problem}", err=True)
        click.echo(
            f"{found.datasets} datasets and {found.panels} panels compared with their checksums, "
            f"{found.values} lambda values computed again: {printing.counted(len(found.problems), 'problem')}"
        )
        if found.problems:
            sys.exit(1)


@main.command()
@click.argument("lake")
@click.option(
    "--older-than-days",
    type=click.FloatRange(0),
    default=7.0,
    show_default=True,
    help="Leave what changed later: somebody may be at work on it.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
def vacuum(lake: str, older_than_days: float, dry_run: bool) -> None:
    """Delete what nothing published refers to: replaced versions, removed datasets, old scores, dead runs."""
    from jobs import upkeep
    from lake.parameters import open_lake

    with _one_line():
        found = upkeep.vacuum(open_lake(lake), older_than_days, dry_run=dry_run)
        for prefix in found.prefixes:
            click.echo(prefix)
        verb = "would free" if dry_run else "freed"
        click.echo(f"{verb} {found.nbytes / 2**20:.1f} MiB in {len(found.prefixes)} folders", err=True)


@main.command()
@click.argument("folder", default="demo")
@click.option("--rois", type=click.IntRange(10), default=60, show_default=True, help="ROIs a condition.")
@_OPTION_WORKERS
def demo(folder: str, rois: int, workers: int | None) -> None:
    """Simulate a collection, ingest and score it in two steps, rank it and draw figures into FOLDER."""
    from jobs.demo import run_demo

    with _one_line():
        run_demo(folder, rois=rois, workers=workers)

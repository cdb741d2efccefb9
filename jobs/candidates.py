"""What a collection offers for ingest, held against what the lake has: dataset folders, titles, versions."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobs.ingest_tasks import Problem
from lake import collection, current, tables
from lake.collection import DatasetFolder
from lake.metadata import DatasetMetadata, read_metadata, slug, template
from lake.parameters import Lake

Report = Callable[[Problem], None]
"""Takes why a dataset is not registered."""


@dataclass(frozen=True)
class Candidate:
    """A dataset folder whose metadata are good."""

    folder: DatasetFolder
    metadata: DatasetMetadata
    text: bytes

    @property
    def dataset(self) -> str:
        """Id of the dataset."""
        return slug(self.metadata.title)


@dataclass(frozen=True)
class Known:
    """What is registered: version and origin of the live datasets; last revision and all versions of all."""

    versions: dict[str, str]
    sources: dict[str, str]
    revisions: dict[str, int]
    ever: dict[str, set[str]]

    @classmethod
    def of(cls, lake: Lake) -> "Known":
        """Read the tables of a lake."""
        live = current.live_datasets(lake.url).select(["dataset", "version", "source"]).to_pylist()
        revisions: dict[str, int] = {}
        ever: dict[str, set[str]] = {}
        history = tables.read(lake.url, "datasets", columns=["dataset", "version", "revision"])
        for row in history.to_pylist():
            revisions[row["dataset"]] = max(row["revision"], revisions.get(row["dataset"], 0))
            ever.setdefault(row["dataset"], set()).add(row["version"])
        return cls(
            {row["dataset"]: row["version"] for row in live},
            {row["dataset"]: row["source"] for row in live},
            revisions,
            ever,
        )

    def version(self, dataset: str, content: str) -> str:
        """Return the version that a content has: its hash, numbered when it comes back after it was retired.

        What was scored in the meantime was not compared with the retired version, and never will be.
        """
        live = self.versions.get(dataset, "")
        if live.split("-")[0] == content:
            return live
        earlier = sum(version.split("-")[0] == content for version in self.ever.get(dataset, ()))
        return f"{content}-{earlier + 1}" if earlier else content


def find_candidates(collections: Sequence[str], known: Known, notes: list[str], report: Report) -> list[Candidate]:
    """Return the dataset folders of collections that can be ingested; report the others, and note what is not read.

    Raises
    ------
    ValueError
        If a collection is not there, or holds no dataset folder.
    """
    folders = [folder for url in collections for folder in collection.find_datasets(url)]
    found = []
    for folder in {folder.url: folder for folder in folders}.values():
        notes += [f"{folder.name}/{name}: not a localization file, not read" for name in folder.ignored]
        try:
            found.append(_candidate(folder))
        except (ValueError, OSError) as error:
            report(Problem(folder.url, str(error)))
    titles = Counter(c.dataset for c in found if known.sources.get(c.dataset) in (None, c.folder.name))
    accepted = []
    for candidate in found:
        message = _title_clash(candidate, titles, known)
        if message:
            report(Problem(candidate.folder.url, message))
            continue
        accepted.append(candidate)
        notes += _renamed(candidate, known)
    return accepted


def _candidate(folder: DatasetFolder) -> Candidate:
    if folder.metadata is None:
        raise ValueError(
            f"{collection.METADATA} is missing; write one such as that below, with your own values\n"
            f"{template(folder.name)}"
        )
    text = collection.read_bytes(folder.metadata)
    try:
        metadata = read_metadata(text.decode(), collection.METADATA)
    except UnicodeDecodeError as error:
        raise ValueError(f"{collection.METADATA}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    if folder.stray_outlines:
        names = ", ".join(folder.stray_outlines[:3]) + (", ..." if len(folder.stray_outlines) > 3 else "")
        raise ValueError(
            f"{names}: outline without a localization file; an outline is named after its file, "
            "<file stem>_ROI_<n>.csv: rename it, add the file or delete it"
        )
    if not folder.files:
        raise ValueError("no localization file; add at least one, or delete the folder")
    return Candidate(folder, metadata, text)


def _title_clash(candidate: Candidate, titles: Counter[str], known: Known) -> str | None:
    source = known.sources.get(candidate.dataset)
    title = candidate.metadata.title
    if source is not None and source != candidate.folder.name:
        return (
            f"title {title!r} is used already, by the dataset from folder {source}; choose another title, or "
            f"take that one out with `nanolake remove LAKE {candidate.dataset}`"
        )
    if titles[candidate.dataset] > 1:
        return f"title {title!r} is used twice in this ingest; give each dataset a title of its own"
    return None


def _renamed(candidate: Candidate, known: Known) -> list[str]:
    """Return a note when a folder of this name gave a dataset of another title before, which stays."""
    if candidate.dataset in known.sources:
        return []
    others = [name for name, source in known.sources.items() if source == candidate.folder.name]
    return [
        f"{candidate.folder.name}: a new dataset {candidate.dataset}; {name}, from a folder of the same name, stays: "
        f"if only the title has changed, take it out with `nanolake remove LAKE {name}`"
        for name in others
    ]

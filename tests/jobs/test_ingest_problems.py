"""Bad input: its dataset is left out with one line that says which file, why and what to do; the others go on."""

import re
import shutil

import pytest
from click.testing import CliRunner
from tiny_collection import localizations, strip_um, write_dataset, write_metadata, write_outline, write_table

from catalog import open_catalog
from jobs import cli, pipeline, upkeep
from lake.metadata import read_metadata
from lake.parameters import open_lake

TABLE = "cell_1.csv"
OUTLINE = "cell_1_ROI_1.csv"


def rewrite(change):
    """Return a damage that changes the text of the localization file."""

    def damage(folder):
        (folder / TABLE).write_text(change((folder / TABLE).read_text()))

    return damage


def set_x(value):
    """Return a damage that sets the x coordinate of the third row."""

    def damage(folder):
        columns = localizations(4)
        columns["x [nm]"] = columns["x [nm]"].astype(object)
        columns["x [nm]"][2] = value
        write_table(folder / TABLE, columns)

    return damage


def without_y(folder):
    columns = localizations(4)
    del columns["y [nm]"]
    write_table(folder / TABLE, columns)


def twice(folder):
    shutil.copy(folder / TABLE, folder / "cell_2.csv")
    shutil.copy(folder / OUTLINE, folder / "cell_2_ROI_1.csv")


def draw(*corners_um):
    """Return a damage that draws another outline."""
    return lambda folder: write_outline(folder / OUTLINE, corners_um)


def linked_to_nothing(folder):
    (folder / TABLE).unlink()
    (folder / TABLE).symlink_to(folder / "moved_away.csv")


def without_files(folder):
    (folder / TABLE).unlink()
    (folder / OUTLINE).unlink()


# Name of the dataset folder -> (damage, pattern of the message: file, reason and way out)
PROBLEMS = {
    "empty file": (rewrite(lambda _: ""), rf"{TABLE}: .*empty; export it again"),
    "truncated file": (
        rewrite(lambda text: text[:-40] + "\n7,1"),
        rf"{TABLE}: line \d+ has 2 fields, .*cut off; .*export",
    ),
    "NaN coordinate": (
        set_x("nan"),
        rf"{TABLE}: x_nm is not finite in 1 of 80 rows, .*row 3 \(nan.*; remove such rows",
    ),
    "infinite coordinate": (set_x("-inf"), rf"{TABLE}: x_nm is not finite in 1 of 80 rows, .*row 3 \(-inf.*; remove"),
    "word for a number": (set_x("left"), rf"{TABLE}: line 4, column 'x \[nm\]': 'left' is not a number; "),
    "column missing": (without_y, rf"{TABLE}: no column y among .*; export the file with y \[nm\]"),
    "header without rows": (
        rewrite(lambda text: text.splitlines()[0] + "\n"),
        rf"{TABLE}: it holds no localizations \(a header without rows\); export it again",
    ),
    "binary file": (
        lambda folder: (folder / TABLE).write_bytes(bytes(range(256)) * 40),
        rf"{TABLE}: neither text nor a known binary format.*; export it as one of: ThunderSTORM",
    ),
    "text": (rewrite(lambda _: "dear diary\n"), rf"{TABLE}: no known format: .*'dear diary'; export it as one of"),
    "file twice": (twice, rf"cell_2\.csv: the same file as {TABLE}; delete one of them"),
    "broken link": (linked_to_nothing, rf"{TABLE}: .*No such file or directory"),
    "no files": (without_files, "no localization file; add at least one, or delete the folder"),
    "outline without a file": (
        lambda folder: write_outline(folder / "cell_7_ROI_1.csv", strip_um(2)),
        r"cell_7_ROI_1\.csv: outline without a localization file; .*rename it, add the file or delete it",
    ),
    "file without outlines": (
        lambda folder: (folder / OUTLINE).unlink(),
        rf"{TABLE}: no cell outline; put one polygon a file beside it as {OUTLINE} .*or .*--whole-field",
    ),
    "no ROI": (draw((0.5, 0.5), (2.5, 0.5), (2.5, 2.5)), rf"{TABLE}: 0 ROIs: no tile of 3 x 3 um .*; check that"),
    "crossing outline": (draw((0, 0), (6, 6), (6, 0), (0, 6)), rf"{OUTLINE}: .*crosses .* near \(3, 3\) um; redraw it"),
    "outline of two points": (draw((0, 0), (6, 6)), rf"{OUTLINE}: 2 distinct vertices; an outline needs at least 3"),
    "outline in nm": (
        draw((0, 0), (6000, 0), (6000, 3000), (0, 3000)),
        rf"{OUTLINE}: .* 0 to 6000 um.* are these nanometres or pixels\? write um",
    ),
    "no metadata": (
        lambda folder: (folder / "dataset.yaml").unlink(),
        r"dataset\.yaml is missing; write one such as that below, with your own values",
    ),
    "broken yaml": (
        lambda folder: (folder / "dataset.yaml").write_text("title: broken\nprotein: [TIGIT\n"),
        r"dataset\.yaml: line \d is not readable as YAML: .*; put texts in quotes",
    ),
    "yaml in latin-1": (
        lambda folder: (folder / "dataset.yaml").write_bytes("title: Zürich\n".encode("latin-1")),
        r"dataset\.yaml: byte 8 is not UTF-8; save the file as UTF-8",
    ),
    "unknown modality": (
        lambda folder: write_metadata(folder, "unknown modality", modality="PLAM"),
        r"dataset\.yaml: modality is 'PLAM': did you mean 'PALM'\?",
    ),
    "title of a dataset that is there": (
        lambda folder: write_metadata(folder, "there before!"),
        "title 'there before!' is used already, by the dataset from folder earlier; choose another title, or .*remove",
    ),
    "one title": (
        lambda folder: write_metadata(folder, "The Same"),
        "title 'The Same' is used twice in this ingest; give each dataset a title of its own",
    ),
    "the same title": (
        lambda folder: write_metadata(folder, "the same."),
        "title 'the same.' is used twice in this ingest; give each dataset a title of its own",
    ),
}


def run(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """Ingest a collection of every problem and two good datasets; return lake, collection and what was printed."""
    folder = tmp_path_factory.mktemp("problems")
    lake, collection = folder / "lake", folder / "coll é"
    pipeline.init(lake)
    write_dataset(folder / "earlier", "There before", seed=8)
    assert run("ingest", lake, folder / "earlier").exit_code == 0
    for seed, name in enumerate((*PROBLEMS, "0 good", "~ good"), 10):
        damage, _ = PROBLEMS.get(name, (lambda _: None, ""))
        damage(write_dataset(collection / name, seed=seed))
    return lake, collection, run("ingest", lake, collection)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ingest__says_in_one_line_what_is_wrong(ingested, problem):
    lake, collection, result = ingested
    _, pattern = PROBLEMS[problem]
    (line,) = [line for line in result.stderr.splitlines() if line.startswith(f"error: {collection / problem}: ")]
    assert re.search(pattern, line.removeprefix(f"error: {collection / problem}: "))
    assert problem not in open_catalog(lake).datasets["source"].tolist()


def test_ingest__says_one_line_a_problem_prints_the_template_and_ends_with_status_1(ingested):
    _, _, result = ingested
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == len(PROBLEMS)
    assert lines[-1] == f"2 datasets registered, 0 unchanged, {len(PROBLEMS)} problems"
    assert "Traceback" not in result.output
    template = "\n".join(line for line in lines[:-1] if not line.startswith("error: "))
    assert read_metadata(template, "template").title == "no metadata"


def test_ingest__completes_the_good_datasets_of_a_collection_with_problems(ingested):
    lake, _, result = ingested
    assert set(open_catalog(lake)) == {"0-good", "good", "there-before"}
    assert upkeep.verify(open_lake(lake)).problems == []
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["0-good", "good"]


def test_ingest__registers_a_dataset_once_it_is_repaired(ingested, tmp_path):
    lake, collection, _ = ingested
    shutil.copytree(collection, tmp_path / "coll", symlinks=True)
    shutil.rmtree(tmp_path / "coll" / "truncated file")
    write_dataset(tmp_path / "coll" / "truncated file")
    shutil.copytree(lake, tmp_path / "lake")
    outcome = pipeline.ingest(tmp_path / "lake", [tmp_path / "coll"])
    assert [row["dataset"] for row in outcome.registered] == ["truncated-file"]
    assert len(outcome.problems) == len(PROBLEMS) - 1


@pytest.mark.parametrize("problem", ["no metadata", "file twice", "empty file"])
def test_ingest__strict_stops_at_the_first_problem(tmp_path, problem):
    """Of the metadata, of the checksums and of the reading."""
    pipeline.init(tmp_path / "lake")
    damage, pattern = PROBLEMS[problem]
    damage(write_dataset(tmp_path / "coll" / problem))
    write_dataset(tmp_path / "coll" / "~ good", seed=1)
    result = run("ingest", tmp_path / "lake", tmp_path / "coll", "--strict")
    assert (result.exit_code, result.stdout) == (1, "")
    first, *rest = result.stderr.splitlines()
    assert re.match(f"error: {tmp_path / 'coll' / problem}: .*{pattern}", first)
    assert not any(line.startswith("error:") for line in rest)
    assert "good" not in open_catalog(tmp_path / "lake")
    assert run("ingest", tmp_path / "lake", tmp_path / "coll").exit_code == 1
    assert set(open_catalog(tmp_path / "lake")) == {"good"}


def test_ingest__refuses_a_title_that_two_folders_of_one_name_claim(tmp_path):
    """Two collections may each have a folder of the same name: neither may replace the other in turn."""
    pipeline.init(tmp_path / "lake")
    for seed, collection in enumerate(("one", "two")):
        write_dataset(tmp_path / collection / "a", seed=seed)
    assert pipeline.ingest(tmp_path / "lake", [tmp_path / "one"]).problems == []
    outcome = pipeline.ingest(tmp_path / "lake", [tmp_path / "one", tmp_path / "two"])
    assert outcome.registered == []
    assert ["title 'a' is used twice" in problem.message for problem in outcome.problems] == [True, True]
    assert open_catalog(tmp_path / "lake")["a"].row["revision"] == 1


def test_ingest__needs_a_lake_and_a_collection(tmp_path):
    result = run("ingest", tmp_path / "lake", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"error: .*lake: no lake here; make one with `nanolake init .*lake`\n", result.stderr)
    pipeline.init(tmp_path / "lake")
    result = run("ingest", tmp_path / "lake", tmp_path / "nothing")
    assert result.exit_code == 1
    assert re.fullmatch(r"error: .*nothing: is not there; name a collection, .*\n", result.stderr)

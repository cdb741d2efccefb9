"""The commands, as people type them: what they print, where, and how they end."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from tiny_collection import write_dataset

from catalog import open_catalog
from catalog.ranking import COLUMNS
from jobs import pipeline
from jobs.cli import main
from jobs.printing import parse_conditions
from lake import tables
from lake.parameters import Parameters

COMMAND = [sys.executable, "-c", "from jobs.cli import main; main()"]
TITLE = "Tubulin [rep 2] :smile: {x}"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = run(*arguments)
    assert (result.exit_code, "error" in result.stderr) == (0, False), result.output
    return result


def records(*arguments):
    """Run a command for JSON; return its list of objects."""
    found = json.loads(succeed(*arguments, "--format", "json").stdout)
    assert isinstance(found, list)
    assert all(isinstance(record, dict) for record in found)
    return found


def cells(*arguments):
    """Run a command for CSV; return its rows."""
    return list(csv.reader(io.StringIO(succeed(*arguments, "--format", "csv").stdout)))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A scored lake of three datasets; one has no ROI for the thinned mode."""
    folder = tmp_path_factory.mktemp("cli")
    fields = {"fluorophore": "CF568", "authors": ["Doe, Jane", "Weiß"], "cell_type": "007"}
    write_dataset(folder / "coll" / "a", TITLE, seed=1, rois=3, per_roi=150, **fields)
    write_dataset(folder / "coll" / "b", "Actin", seed=2, rois=3, per_roi=150, protein="actin")
    write_dataset(folder / "coll" / "c", "Sparse", seed=3, rois=2, per_roi=10)
    pipeline.init(folder / "my lake", Parameters(thinning_density_per_um2=5.0))
    pipeline.ingest(folder / "my lake", [folder / "coll"])
    pipeline.score(folder / "my lake")
    return folder / "my lake"


# --- help and usage


def test_main__teaches_the_flow_and_lists_the_commands_in_its_order():
    text = succeed("--help").stdout
    places = [text.index(f"\n  {name} ") for name in ("init", "ingest", "score", "ls", "show", "similar", "verify")]
    assert places == sorted(places)
    assert "init a lake, ingest collections, score what is new, ask for what is similar" in " ".join(text.split())
    assert "s3://bucket/prefix" in text
    assert "nanolake demo" in text


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command__explains_itself(command):
    text = succeed(command, "--help").stdout
    assert re.match(rf"Usage: \w+ {command} \[OPTIONS\] ", text)
    assert len(text.splitlines()[2].split()) >= 3
    options = [line for line in text.splitlines() if line.lstrip().startswith("--") and line.startswith("  --")]
    assert len(options) == len([option for option in main.commands[command].params if option.opts[0][0] == "-"])
    assert succeed(command, "-h").stdout == text


def test_help__names_every_option_that_is_a_choice():
    assert "thinned|unthinned" in succeed("similar", "--help").stdout
    assert "table|csv|json" in succeed("ls", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Usage:"),
        (("lst",), "No such command 'lst'"),
        (("ls",), "Missing argument 'LAKE'"),
        (("ingest", "lake"), r"Missing argument 'COLLECTION\.\.\.'"),
        (("similar", "lake"), r"Missing argument 'DATASET\|FILE'"),
        (("similar", "lake", "a", "--mode", "both"), "'both' is not one of 'thinned', 'unthinned'"),
        (("similar", "lake", "a", "--top", "0"), "0 is not in the range x>=1"),
        (("ls", "lake", "--format", "xml"), "'xml' is not one of 'table', 'csv', 'json'"),
        (("score", "lake", "--workers", "none"), "'none' is not a valid integer"),
        (("init", "lake", "--colour"), "No such option.*--colour"),
    ],
)
def test_usage_errors__end_with_status_2_and_say_what_was_wrong(arguments, reason):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.search(reason, result.stderr)


# --- what went wrong: one line on stderr, status 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ls", "{tmp}"), r"{tmp}: no lake here \(no lake\.yaml\); make one with `nanolake init {tmp}`"),
        (("score", "{tmp}/x"), "{tmp}/x: no lake here; make one with `nanolake init {tmp}/x`"),
        (("verify", "gs://x/y"), "gs://x/y: a lake lies in a folder or on s3://bucket/prefix, not on gs://"),
        (("ls", "s3://"), "s3://: no bucket; write s3://bucket/prefix"),
        (
            ("init", "{lake}", "--alpha", "0.01"),
            r"{lake}: a lake is there already, with .*alpha 0\.05 \(asked: 0\.01\).*",
        ),
        (("init", "{tmp}/x", "--alpha", "7"), r"init: alpha is 7\.0: input should be less than 1"),
        (("init", "{lake}/lake.yaml/x"), "{lake}/lake.yaml/x: no folder can be made here .*; choose another place"),
        (("ingest", "{lake}", "{tmp}/x"), "{tmp}/x: is not there; name a collection, .*"),
        (("score", "{lake}", "--thinning-density", "9"), ".*present scores have 5.0; score all anew with --full.*"),
        (("ls", "{lake}", "proteins=a"), "no column 'proteins'; choose one of .*protein, .*"),
        (("ls", "{lake}", "n_rois=many"), "n_rois is 'many': a whole number expected"),
        (("ls", "{lake}", "protein=a", "protein=b"), "protein is given twice; write .*protein=A,B"),
        (("show", "{lake}", "nothing"), "no dataset 'nothing' here; `nanolake ls` lists the 3 there are"),
        (("similar", "{lake}", "nothing"), "neither a dataset nor a file: 'nothing'; .*"),
        (("similar", "{lake}", "{tmp}/a.csv"), "{tmp}/a.csv: no such file"),
        (("similar", "{lake}", "sparse"), "dataset sparse has no ROI .*; use the unthinned mode"),
        (("similar", "{lake}", "{lake}/lake.yaml", "--outline", "{tmp}/o.csv"), "lake.yaml: .*"),
        (("remove", "{lake}", "nothing"), "no dataset 'nothing' in {lake}; `nanolake ls {lake}` lists them"),
    ],
)
def test_errors__are_one_line_on_stderr_with_status_1(lake, tmp_path, arguments, message):
    result = run(*(argument.format(tmp=tmp_path, lake=lake) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(f"error: {message.format(tmp=tmp_path, lake=lake)}\n", result.stderr)


def test_errors__of_a_storage_are_one_line_too(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    result = run("ls", "s3://unreachable/lake")
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: Generic S3 error: .*127\.0\.0\.1:1.*; check the URL, the network and the credentials \(AWS_.*\)\n",
        result.stderr,
    )
    assert "the-secret" not in result.stderr


def test_errors__of_the_program_itself_are_not_hidden(lake, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a bug")

    monkeypatch.setattr(pipeline, "score", fail)
    assert isinstance(run("score", lake).exception, AssertionError)


def test_interrupt__says_how_to_go_on(lake, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "score", interrupt)
    result = run("score", lake)
    assert (result.exit_code, result.stderr) == (130, "interrupted; run the same command again to go on\n")


# --- the commands


def test_init__says_what_to_do_next(tmp_path):
    result = succeed("init", tmp_path / "my lake", "--thinning-density", "30", "--lambda-dtype", "float16")
    assert result.stdout == ""
    assert f"next: nanolake ingest '{tmp_path / 'my lake'}' COLLECTION" in result.stderr
    parameters = open_catalog(tmp_path / "my lake").lake.parameters
    assert (parameters.thinning_target, parameters.lambda_dtype) == (270, "float16")


def test_ingest_and_score__print_what_they_did_and_nothing_the_second_time(tmp_path):
    write_dataset(tmp_path / "coll" / "a", files=2)
    write_dataset(tmp_path / "coll" / "b", seed=1)
    pipeline.init(tmp_path / "lake")
    (a, b) = records("ingest", tmp_path / "lake", tmp_path / "coll", "--workers", "1")
    assert set(a) == set(tables.DATASETS.names) - {"live_cell"}
    assert (a["dataset"], a["n_files"], a["n_localizations"], b["n_rois"]) == ("a", 2, 160, 2)
    assert records("ingest", tmp_path / "lake", tmp_path / "coll") == []
    assert cells("ingest", tmp_path / "lake", tmp_path / "coll") == [tables.DATASETS.names]
    (planned,) = records("score", tmp_path / "lake", "--dry-run")
    (done,) = records("score", tmp_path / "lake", "--workers", "2")
    assert (planned["generation"], planned["n_pairs"]) == (done["generation"], done["n_pairs"]) == ("g0001", 15)
    assert (done["n_datasets"], done["resumed"]) == (2, 0)
    assert records("score", tmp_path / "lake") == records("score", tmp_path / "lake", "--dry-run") == []
    assert "nothing to score" in succeed("score", tmp_path / "lake").stderr


def test_ls__has_the_columns_of_the_table(lake):
    found = records("ls", lake)
    assert [record["dataset"] for record in found] == ["actin", "sparse", "tubulin-rep-2-smile-x"]
    assert set(found[0]) == set(tables.DATASETS.names) - {"revision", "state"}
    assert found[2]["title"] == TITLE
    assert found[2]["authors"] == ["Doe, Jane", "Weiß"]
    assert found[0]["fluorophore"] is None
    assert found[0]["tags"] == []


def test_ls__gives_csv_that_holds_the_same(lake):
    header, *rows = cells("ls", lake)
    for row, record in zip(rows, records("ls", lake), strict=True):
        found = dict(zip(header, row, strict=True))
        assert found["title"] == record["title"]
        assert int(found["n_localizations"]) == record["n_localizations"]
        assert float(found["density_per_um2"]) == record["density_per_um2"]
        assert json.loads(found["authors"]) == record["authors"]
        assert found["doi"] == ""
    assert cells("ls", lake, "nothing at all") == [header]


def test_ls__gives_a_table_that_shows_titles_as_they_are(lake):
    header, *rows = succeed("ls", lake).stdout.splitlines()
    assert header.split()[:2] == ["dataset", "title"]
    assert len(rows) == 3
    assert f"  {TITLE}  " in rows[2]
    assert "  450 " in rows[2]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), ["actin", "sparse", "tubulin-rep-2-smile-x"]),
        (("protein=ACTIN",), ["actin"]),
        (("protein=actin,TIGIT", "n_rois=3"), ["actin", "tubulin-rep-2-smile-x"]),
        (("n_rois=..2",), ["sparse"]),
        (("n_rois=3..", "actin"), ["actin"]),
        (("cell_type=007",), ["tubulin-rep-2-smile-x"]),
        (("cell_type=7",), []),
        (("authors=doe, jane",), ["tubulin-rep-2-smile-x"]),
        (("fluorophore=",), ["actin", "sparse"]),
        (("drift_corrected=yes",), []),
        (("rep", "2]"), ["tubulin-rep-2-smile-x"]),
    ],
)
def test_ls__lists_what_meets_every_condition(lake, conditions, expected):
    assert [record["dataset"] for record in records("ls", lake, *conditions)] == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ("", {})),
        (["NK", "resting"], ("NK resting", {})),
        (["protein=TIGIT"], ("", {"protein": "TIGIT"})),
        ([" protein = TIGIT "], ("", {"protein": "TIGIT"})),
        (["title=a=b"], ("", {"title": "a=b"})),
        (["localization_software=1.10"], ("", {"localization_software": "1.10"})),
        (["cell_type=no"], ("", {"cell_type": "no"})),
        (["drift_corrected=no"], ("", {"drift_corrected": False})),
        (["drift_corrected=TRUE"], ("", {"drift_corrected": True})),
        (["modality=PALM, PAINT"], ("", {"modality": ["PALM, PAINT", "PALM", "PAINT"]})),
        (["n_rois=1,2"], ("", {"n_rois": [1, 2]})),
        (["n_rois=10..20"], ("", {"n_rois": (10, 20)})),
        (["density_per_um2=..5e1"], ("", {"density_per_um2": (None, 50.0)})),
        (["doi="], ("", {"doi": None})),
        (["unknown=1"], ("", {"unknown": 1})),
    ],
)
def test_parse_conditions__knows_the_kinds_of_the_columns(conditions, expected):
    assert parse_conditions(conditions) == expected


def test_parse_conditions__refuses_a_column_twice():
    with pytest.raises(ValueError, match="n_rois is given twice; write alternatives behind one sign: n_rois=A,B"):
        parse_conditions(["n_rois=1", "n_rois = 2"])


def test_show__has_metadata_files_and_self_similarity(lake):
    (found,) = records("show", lake, "actin")
    assert (found["protein"], found["n_rois"]) == ("actin", 3)
    assert [file["file"] for file in found["files"]] == ["cell_1.csv"]
    assert found["files"][0]["provenance"]["frame_base"] == 1
    for mode in ("thinned", "unthinned"):
        own = open_catalog(lake).self_similarity("actin", mode)
        assert found["self_similarity"][mode]["mean"] == own["mean"]
    assert records("show", lake, "Actin") == [found]


def test_show__tells_people_the_same(lake):
    result = succeed("show", lake, "tubulin-rep-2-smile-x")
    assert re.search(r"^title +Tubulin \[rep 2\] :smile: \{x\}$", result.stdout, re.MULTILINE)
    assert re.search(r"^self-similarity +0\.\d+ \+- 0\.\d+ \(unthinned, 3 ROI pairs\)$", result.stdout, re.MULTILINE)
    assert re.search(r"^cell_1\.csv +thunderstorm-csv +450 ", result.stdout, re.MULTILINE)
    assert "drift_corrected" not in result.stdout


def test_show__says_why_there_is_no_self_similarity(lake):
    result = succeed("show", lake, "sparse", "--format", "json")
    assert json.loads(result.stdout)[0]["self_similarity"]["thinned"] is None
    assert re.fullmatch(r"note: thinned: dataset sparse has no ROI .*; use the unthinned mode\n", result.stderr)


def test_similar__ascends_by_mean_and_names_who_is_left_out(lake):
    found = records("similar", lake, "actin", "--mode", "unthinned")
    assert tuple(found[0]) == COLUMNS
    assert [hit["rank"] for hit in found] == [1, 2]
    assert found[0]["mean"] <= found[1]["mean"]
    assert found == open_catalog(lake).similar("actin", "unthinned").to_dict("records")
    assert records("similar", lake, "actin", "--mode", "unthinned", "--top", "1") == found[:1]
    assert cells("similar", lake, "actin", "--mode", "unthinned")[0] == list(COLUMNS)
    result = succeed("similar", lake, "actin")
    assert result.stderr == "note: 1 dataset left out (no ROI for the thinned mode): sparse\n"
    assert "fluorophore: CF568, not unknown" in result.stdout


def test_similar__scores_a_file_of_ones_own(lake):
    file = lake.parent / "coll" / "b" / "cell_1.csv"
    expected = open_catalog(lake).similar(file).to_dict("records")
    assert records("similar", lake, file) == expected
    assert records("similar", lake, file, "--outline", file.with_name("cell_1_ROI_1.csv")) == expected
    assert records("similar", lake, file, "--mode", "unthinned", "--whole-field")[0]["n_rois"] > 0


def test_remove__takes_a_dataset_out(tmp_path):
    write_dataset(tmp_path / "a")
    pipeline.init(tmp_path / "lake")
    pipeline.ingest(tmp_path / "lake", [tmp_path / "a"])
    assert succeed("remove", tmp_path / "lake", "a").stderr == "removed a\n"
    assert records("ls", tmp_path / "lake") == []
    assert succeed("ls", tmp_path / "lake").stderr == "0 datasets\n"
    assert run("remove", tmp_path / "lake", "a").exit_code == 1


# --- real processes


def ingest_with_stderr_on_a_terminal(lake, collection):
    """Run a real ingest; return its status, what came to the pipe of stdout, and to the terminal."""
    terminal, end = pty.openpty()
    command = subprocess.Popen(
        [*COMMAND, "ingest", str(lake), str(collection), "--format", "json"], stdout=subprocess.PIPE, stderr=end
    )
    os.close(end)
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(terminal)
    output, _ = command.communicate()
    return command.returncode, output, shown.decode()


def test_real_collection__from_init_to_show(shared_data, tmp_path):
    lake = tmp_path / "L"
    succeed("init", lake)
    status, output, shown = ingest_with_stderr_on_a_terminal(lake, shared_data / "collection")
    assert status == 0
    ingested = {record["dataset"]: record["n_rois"] for record in json.loads(output)}
    assert ingested == {"egfr-af647-c15": 821, "egfr-cf568-c15": 410, "ereg-af647-c15": 410, "ereg-cf568-c15": 821}
    assert "\x1b[" in shown
    assert "ingest" in shown
    assert "100 %" in shown
    scored = succeed("score", lake)
    assert "\x1b[" not in scored.stderr
    assert re.fullmatch(
        r"g0001/000000-\w{8}: 4 datasets, [\d,]+ ROI pairs in [\d.]+ s, thinned to 100 localizations per um2\n",
        scored.stderr,
    )
    asked = ["similar", "L", "egfr-af647-c15", "--mode", "unthinned", "--format", "json"]
    answer = subprocess.run([*COMMAND, *asked], cwd=tmp_path, capture_output=True, check=True)
    assert answer.stderr == b""
    hits, (shown,) = json.loads(answer.stdout), records("show", lake, "egfr-af647-c15")
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert {hit["dataset"] for hit in hits} == set(ingested) - {"egfr-af647-c15"}
    assert [hit["mean"] for hit in hits] == sorted(hit["mean"] for hit in hits)
    # The same dye comes first: lambda measures it too.
    assert (hits[0]["dataset"], hits[0]["differences"]) == ("ereg-af647-c15", "")
    assert hits[1]["differences"] == "fluorophore: CF568, not Alexa Fluor 647"
    assert (shown["title"], shown["n_localizations"], len(shown["files"])) == ("EGFR AF647 C15", 195_724, 3)
    assert shown["self_similarity"]["unthinned"]["n_pairs"] == 772 * 771 // 2

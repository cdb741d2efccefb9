"""The documents say what is true: their code runs, their commands parse, their links lead somewhere."""

import contextlib
import doctest
import importlib.metadata
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import cli
from lake.formats import FORMATS
from lake.metadata import DatasetMetadata, read_metadata
from lake.parameters import Parameters

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *GUIDES]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
LIKE_SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PAPERS = {"10.1038/s41467-025-63674-x", "10.1101/2022.09.12.507560", "10.1093/bioinformatics/btu202"}


def name_of(document: Path) -> str:
    return document.name


def blocks(document: Path) -> list[tuple[str, str, str]]:
    """Return the fenced blocks: language, content, and the output that is shown right below."""
    return BLOCK.findall(document.read_text(encoding="utf-8"))


@dataclass
class Place:
    """Where a document's code is run: bash in a folder, Python in one namespace."""

    folder: Path
    namespace: dict[str, Any] = field(default_factory=dict)

    def run(self, language: str, code: str) -> str:
        """Run a block and return what it printed; fail where it fails."""
        return self._bash(code) if language == "bash" else self._python(code)

    def _bash(self, code: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{code}"],
            cwd=self.folder,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}"
        return done.stdout

    def _python(self, code: str) -> str:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            exec(compile(code, "a block of a document", "exec"), self.namespace)
        return printed.getvalue()


def differs(code: str, shown: str, printed: str) -> str:
    """Return what to say where a block prints something else than is shown."""
    if not shown or doctest.OutputChecker().check_output(shown, printed, LIKE_SHOWN):
        return ""
    return f"{code}\nshown:\n{shown}\nprinted:\n{printed}"


@pytest.fixture(scope="module")
def tour(tmp_path_factory) -> tuple[Path, list[tuple[str, str, str]]]:
    """Run the code of the README in order; return its folder, and of each block code, shown and printed output."""
    place = Place(tmp_path_factory.mktemp("tour"))
    steps = [
        (code, shown, place.run(language, code))
        for language, code, shown in blocks(README)
        if language in {"bash", "python"}
    ]
    return place.folder, steps


def test_readme__code_prints_what_is_shown(tour):
    _, steps = tour
    assert sum(bool(shown) for _, shown, _ in steps) >= 5
    wrong = [message for message in (differs(*step) for step in steps) if message]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_guides__python_runs_on_the_lake_of_the_tour(guide, tour):
    folder, _ = tour
    place = Place(folder)
    for language, code, shown in blocks(guide):
        if language == "python":
            wrong = differs(code, shown, place.run(language, code))
            assert not wrong, wrong


def commands(document: Path) -> Iterator[list[str]]:
    """Yield the words of every nanolake command of a document, up to a pipe or the like."""
    for language, code, _ in blocks(document):
        if language not in {"bash", "shell"}:
            continue
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(re.split(r"\s(?:\||&&|\|\||>|2>)", line)[0], comments=True)
            if "nanolake" in words:
                yield words[words.index("nanolake") + 1 :]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_documents__commands_parse(document):
    for words in commands(document):
        command = cli.main.commands[words[0]]
        assert command.make_context(words[0], words[1:]).params, words


def test_readme__every_command_is_documented():
    text = README.read_text(encoding="utf-8")
    missing = [name for name in cli.main.commands if f"| `nanolake {name} " not in text]
    assert not missing


def test_readme__every_metadata_field_is_documented():
    text = README.read_text(encoding="utf-8")
    assert not [name for name in DatasetMetadata.model_fields if f"`{name}`" not in text]


def test_readme__every_parameter_is_documented():
    text = README.read_text(encoding="utf-8")
    assert not [name for name in Parameters.model_fields if f"`{name}`" not in text]


def test_formats_guide__names_every_reader():
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert not [module.NAME for module in FORMATS if f"`{module.NAME}`" not in text]


def test_readme__metadata_example_is_valid():
    examples = [code for language, code, _ in blocks(README) if language == "yaml"]
    assert [read_metadata(example, "dataset.yaml").protein for example in examples] == ["TIGIT"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_documents__local_links_lead_somewhere(document):
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and GitLab make them."""
    prose = BLOCK.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_citation__has_the_required_keys():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == importlib.metadata.version("nanolake")
    assert citation.keys() >= {"message", "title", "authors", "license"}
    for entry in [citation, *citation["references"]]:
        assert entry["title"]
        assert all(author.keys() <= {"family-names", "given-names", "name"} for author in entry["authors"])
        assert entry["authors"]
    assert all(reference["type"] in {"article", "generic"} for reference in citation["references"])
    assert {reference["doi"] for reference in citation["references"]} >= PAPERS


def test_changelog__has_the_present_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{importlib.metadata.version('nanolake')}]" in changelog

import math
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lake.metadata import COMPARED, MODALITIES, DatasetMetadata, differences, read_metadata, slug, template

NEEDED = "title: TIGIT NK\nmodality: dSTORM\nprotein: TIGIT\n"


def problem(text: str) -> str:
    """Return the message for a dataset.yaml of the needed fields and one more text."""
    with pytest.raises(ValueError, match=r"^d\.yaml: ") as caught:
        read_metadata(NEEDED + text, "d.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("d.yaml: ")


def test_read_metadata__every_field():
    text = """\
title: "  EGFR:  two
  lines "
modality: dna paint
protein: EGFR
uniprot: p00533-2
cell_type: C15
fluorophore: Cy3B
localization_software: Picasso
drift_corrected: yes
blink_corrected: false
pixel_size_nm: 117
antibodies: [first, second]
description: |
  Line one.
  Line two.
doi: https://doi.org/10.1038/s41467-025-63674-x
contact: Jane Doe <jane.doe@lab.org>
raw_data: on request
license: cc-by-4.0
authors: [Jane Doe]
tags: one
links: https://lab.org/data
live_cell: no
"""
    assert read_metadata(text, "d.yaml").model_dump() == {
        "title": "EGFR: two lines",
        "modality": "DNA-PAINT",
        "protein": "EGFR",
        "uniprot": "P00533-2",
        "cell_type": "C15",
        "fluorophore": "Cy3B",
        "localization_software": "Picasso",
        "drift_corrected": True,
        "blink_corrected": False,
        "pixel_size_nm": 117.0,
        "antibodies": ("first", "second"),
        "description": "Line one.\nLine two.",
        "doi": "10.1038/s41467-025-63674-x",
        "contact": "Jane Doe <jane.doe@lab.org>",
        "raw_data": "on request",
        "license": "CC-BY-4.0",
        "authors": ("Jane Doe",),
        "tags": ("one",),
        "links": ("https://lab.org/data",),
        "live_cell": False,
    }


@pytest.mark.parametrize("value", ["", "null", "~", "''", "'  '"])
def test_read_metadata__empty_is_unset(value):
    optional = set(DatasetMetadata.model_fields) - {"title", "modality", "protein"}
    lines = "".join(f"{field}: {value}\n" for field in sorted(optional))
    assert read_metadata(NEEDED + lines, "d.yaml") == read_metadata(NEEDED, "d.yaml")


def test_read_metadata__unset_is_none_or_empty():
    unset = read_metadata(NEEDED, "d.yaml").model_dump(exclude={"title", "modality", "protein"})
    lists = {"antibodies", "authors", "tags", "links"}
    assert unset == {field: () if field in lists else None for field in unset} | {"live_cell": False}


def test_read_metadata__byte_order_mark_and_crlf():
    text = "\ufeff" + NEEDED.replace("\n", "\r\n")
    assert read_metadata(text, "d.yaml") == read_metadata(NEEDED, "d.yaml")


def test_read_metadata__survives_its_own_dump():
    metadata = read_metadata(template(), "d.yaml")
    assert DatasetMetadata.model_validate(metadata.model_dump(mode="json")) == metadata


def test_metadata__is_frozen():
    metadata = read_metadata(NEEDED, "d.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        metadata.protein = "EGFR"


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("change", [str, str.upper, str.lower, lambda text: text.replace("-", " ")])
def test_modality__any_case(modality, change):
    assert DatasetMetadata(title="a", modality=change(modality), protein="b").modality == modality


def test_read_metadata__all_problems_in_one_line():
    with pytest.raises(ValueError) as caught:
        read_metadata("title: a\nmodality: stromm\nprotien: EGFR\npixel_size_nm: 0.117\n", "x/dataset.yaml")
    assert str(caught.value) == (
        "x/dataset.yaml: modality is 'stromm': did you mean 'STORM'? "
        "choose PALM, dSTORM, STORM, PAINT, DNA-PAINT, MINFLUX or other; "
        "protein is missing; "
        "pixel_size_nm is 0.117: nm expected, did you mean 117?; "
        "unknown key 'protien': did you mean 'protein'?"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("uniprot: EGFR_HUMAN", "uniprot is 'EGFR_HUMAN': a UniProt accession expected, such as P00533"),
        ("uniprot: P0053", "uniprot is 'P0053'"),
        ("uniprot: P00533٣", "uniprot is"),
        ("pixel_size_nm: 1.17e-7", "pixel_size_nm is 1.17e-07: nm expected, did you mean 117?"),
        ("pixel_size_nm: 117000", "did you mean 117?"),
        ("pixel_size_nm: 6500", "10 to 1,000 in the sample"),
        ("pixel_size_nm: 0", "10 to 1,000 in the sample"),
        ("pixel_size_nm: -100", "10 to 1,000 in the sample"),
        ("pixel_size_nm: .nan", "pixel_size_nm is nan"),
        ("pixel_size_nm: .inf", "pixel_size_nm is inf"),
        ("pixel_size_nm: 117 nm", "pixel_size_nm is '117 nm': a number expected"),
        ("pixel_size_nm: [117]", "pixel_size_nm is [117]: a number expected"),
        ("drift_corrected: maybe", "drift_corrected is 'maybe': yes or no expected; leave the line out"),
        ("drift_corrected: []", "drift_corrected is []: yes or no expected"),
        ("cell_type: 293", "cell_type is 293: a text expected; put it in quotes"),
        ("cell_type: NO", "cell_type is False: a text expected; put it in quotes"),
        ("tags: [2024]", "item 1 of tags is 2024: a text expected"),
        ("tags: {a: b}", "tags is {'a': 'b'}: a list of texts expected"),
        ("links: [https://a.org, 'javascript:alert(1)']", "item 2 of links is 'javascript:alert(1)': a link"),
        ("doi: 11.1/x", "doi is '11.1/x': a DOI expected"),
        ("contact: Jane", "contact is 'Jane': an e-mail address or a link expected"),
        ("license: CC BY 4.0", "license is 'CC BY 4.0': an SPDX expression expected, such as CC-BY-4.0"),
        ("license: proprietary", "an SPDX expression expected"),
        ("live_cell: yes", "live_cell is True: only fixed cells"),
        ('cell_type: "a\\eb"', "cell_type is 'a\\x1bb': a line of printable characters expected"),
        ("software: Picasso", "unknown key 'software': did you mean 'localization_software'?"),
        ("Fluorophor: Cy3B", "unknown key 'Fluorophor': did you mean 'fluorophore'?"),
        ("zzz: 1", "unknown key 'zzz': put it in the description"),
        ("1: 2", "unknown key '1'"),
        ("yes: 2", "unknown key 'True'"),
        ("protein: EGFR", "protein stands there more than once"),
    ],
)
def test_read_metadata__refuses(line, message):
    assert message in problem(line)


def test_title__needs_a_slug():
    with pytest.raises(ValueError, match=r"title is '!!!': a Latin letter or digit is needed"):
        read_metadata(NEEDED.replace("TIGIT NK", "'!!!'"), "d.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file holds None"),
        ("# only a comment", "the file holds None"),
        ("- title", "the file holds ['title']"),
        ("just words", "the file holds 'just words'"),
        ("title: a\ncell_type: b: c", "line 2 is not readable as YAML: mapping values are not allowed"),
        ("title: [a\nb: c", "line 2 is not readable as YAML"),
        ("title: a\n\tprotein: b", "line 2 is not readable as YAML"),
        ("--- 1\n--- 2", "line 2 is not readable as YAML"),
        ("a: !!python/object:os.system {}", "line 1 is not readable as YAML"),
        ("? [a]\n: b", "line 1 is not readable as YAML"),
        ("title: 2024-13-45", "month must be in 1..12"),
        ("title: \x07", "special characters are not allowed"),
        ("[" * 2_000, "maximum recursion depth"),
    ],
)
def test_read_metadata__refuses_what_is_no_mapping(text, message):
    with pytest.raises(ValueError, match=r"^d\.yaml: .*" + re.escape(message)) as caught:
        read_metadata(text, "d.yaml")
    assert "\n" not in str(caught.value)


def refusal(function, *arguments) -> str:
    """Return the message of the ValueError that a call raises, or nothing."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()


@given(
    st.dictionaries(
        st.sampled_from(sorted(DatasetMetadata.model_fields)) | st.text(max_size=5),
        SCALARS | st.lists(SCALARS, max_size=2),
    )
)
def test_read_metadata__anything_gives_metadata_or_one_line(fields):
    message = refusal(read_metadata, yaml.safe_dump(fields), "d.yaml")
    assert re.fullmatch(r"(d\.yaml: .+)?", message)


@given(st.text(max_size=50))
def test_read_metadata__any_text_gives_metadata_or_one_line(text):
    assert re.fullmatch(r"d\.yaml: .+", refusal(read_metadata, text, "d.yaml"))


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("β-tubulin", "beta-tubulin"),
        ("TGF-β1", "tgf-beta1"),
        ("TCRαβ", "tcralphabeta"),  # noqa: RUF001 - Greek is what is tested
        ("Λ phage λ", "lambda-phage-lambda"),
        ("ς and ώ", "sigma-and-omega"),
        ("CD4+ T", "cd4-t"),
        ("5 µm, 5 μm, μ-opioid", "5-um-5-um-mu-opioid"),
        ("Søren Ångström, ŒUVRE, Straße", "soren-angstrom-oeuvre-strasse"),
        ("Ca²⁺, ½", "ca2-1-2"),
        ("  __EGFR__  AF647 ", "egfr-af647"),
        ("a" * 79 + " b", "a" * 79),
        ("肌动蛋白 1", "1"),
    ],
)
def test_slug__folds(title, expected):
    assert slug(title) == expected


@given(st.text())
def test_slug__is_an_id_or_refused(title):
    message = refusal(slug, title)
    if message:
        assert "no Latin letter or digit" in message
        assert not re.search("[A-Za-z0-9]", title)
    else:
        assert len(slug(title)) <= 80
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", slug(title))
        assert slug(slug(title)) == slug(title)


def test_template__validates_and_names_every_field():
    text = template()
    assert read_metadata(text, "d.yaml").title == "TIGIT on resting NK cells"
    assert list(yaml.safe_load(text)) == list(DatasetMetadata.model_fields)
    assert all(modality in text for modality in MODALITIES)


@pytest.mark.parametrize("title", ["a: b # c", "{a}", 'say "a"', "β % \\ 'x'", "no", "12", "word " * 60 + "end"])
def test_template__any_title(title):
    assert read_metadata(template(title), "d.yaml").title == title
    assert len(template(title).splitlines()) == len(template().splitlines())


def test_differences__in_the_order_of_the_fields():
    a = {"fluorophore": "Alexa Fluor 647", "modality": "PALM", "drift_corrected": True, "title": "a"}
    b = {"fluorophore": "CF568", "modality": "PALM", "drift_corrected": False, "title": "b"}
    assert differences(a, b) == "fluorophore: CF568, not Alexa Fluor 647; drift_corrected: no, not yes"
    assert differences(b, a) == "fluorophore: Alexa Fluor 647, not CF568; drift_corrected: yes, not no"


@pytest.mark.parametrize("unknown", [None, math.nan, pd.NA, np.float64("nan")])
def test_differences__unknown(unknown):
    assert differences({"modality": unknown}, {}) == ""
    assert differences({"blink_corrected": unknown}, {"blink_corrected": np.True_}) == (
        "blink_corrected: yes, not unknown"
    )
    assert differences({"fluorophore": "Cy3B"}, {"fluorophore": unknown}) == "fluorophore: unknown, not Cy3B"


def test_differences__none_within_one_dataset():
    metadata = read_metadata(template(), "d.yaml").model_dump()
    assert set(COMPARED) < set(metadata)
    assert differences(metadata, metadata) == ""
    assert differences(metadata, metadata | {"fluorophore": "ALEXA-Fluor647"}) == ""


def test_collection__metadata_validates(shared_data):
    files = sorted((shared_data / "collection").glob("*/dataset.yaml"))
    slugs = {file.parent.name: slug(read_metadata(file.read_text(), str(file)).title) for file in files}
    assert slugs == {
        "EGFR_AF647": "egfr-af647-c15",
        "EGFR_CF568": "egfr-cf568-c15",
        "EREG_AF647": "ereg-af647-c15",
        "EREG_CF568": "ereg-cf568-c15",
    }

"""Metadata conditions: equality, alternatives, ranges and words, over every kind of column."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.search import SEARCHED, search, searchable_text
from lake import tables

ROWS = [
    {
        "dataset": "tigit-nk",
        "title": "TIGIT on NK cells",
        "protein": "TIGIT",
        "modality": "dSTORM",
        "cell_type": "NK cell, primary",
        "fluorophore": "Alexa Fluor 647",
        "drift_corrected": True,
        "n_rois": 40,
        "density_per_um2": 120.5,
        "tags": ["resting", "Two-Colour"],
        "authors": ["Doe, Jane", "Weiß"],
        "description": "Cells from healthy donors.",
    },
    {
        "dataset": "tigit-t",
        "title": "TIGIT on T cells",
        "protein": "tigit",
        "modality": "PALM",
        "cell_type": "007",
        "fluorophore": None,
        "drift_corrected": False,
        "n_rois": 7,
        "density_per_um2": None,
        "tags": [],
        "authors": [],
    },
    {
        "dataset": "nkp30",
        "title": "NKp30 Étude ß",
        "protein": "NKp30",
        "modality": "PALM",
        "n_rois": 300,
        "density_per_um2": 15.0,
        "tags": ["activated", "RESTING"],
        "doi": "10.1038/s41467-025-63674-x",
    },
]
TABLE = pa.Table.from_pylist(ROWS, schema=tables.DATASETS)
EVERYTHING = ["tigit-nk", "tigit-t", "nkp30"]


def find(text=None, /, table=TABLE, **conditions):
    return search(table, text, conditions, lambda: searchable_text(table))["dataset"].to_pylist()


def test_search__without_conditions_finds_everything():
    assert find() == EVERYTHING
    assert find("") == EVERYTHING


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"protein": "TIGIT"}, ["tigit-nk", "tigit-t"]),
        ({"protein": "nkP30"}, ["nkp30"]),
        ({"protein": "TIG"}, []),
        ({"title": "nkp30 étude ß"}, ["nkp30"]),
        ({"title": "NKP30 ÉTUDE ẞ"}, ["nkp30"]),
        ({"fluorophore": "alexa fluor 647"}, ["tigit-nk"]),
        ({"cell_type": "007"}, ["tigit-t"]),
        ({"cell_type": 7}, []),
        ({"n_rois": 7}, ["tigit-t"]),
        ({"n_rois": 7.0}, ["tigit-t"]),
        ({"density_per_um2": 15}, ["nkp30"]),
        ({"drift_corrected": True}, ["tigit-nk"]),
        ({"drift_corrected": False}, ["tigit-t"]),
    ],
)
def test_search__equality_ignores_case_and_needs_the_whole_value(conditions, expected):
    assert find(**conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"protein": ["tigit", "nkp30"]}, EVERYTHING),
        ({"modality": ["dstorm", "PAINT"]}, ["tigit-nk"]),
        ({"n_rois": [7, 300, 9]}, ["tigit-t", "nkp30"]),
        ({"protein": []}, []),
        ({"n_rois": []}, []),
        ({"tags": []}, []),
    ],
)
def test_search__a_list_holds_alternatives(conditions, expected):
    assert find(**conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"n_rois": (7, 40)}, ["tigit-nk", "tigit-t"]),
        ({"n_rois": (8, None)}, ["tigit-nk", "nkp30"]),
        ({"n_rois": (None, 39)}, ["tigit-t"]),
        ({"density_per_um2": (10, None)}, ["tigit-nk", "nkp30"]),
        ({"density_per_um2": (None, None)}, ["tigit-nk", "nkp30"]),
        ({"n_rois": (40, 7)}, []),
        ({"title": ("T", None)}, ["tigit-nk", "tigit-t"]),
    ],
)
def test_search__a_tuple_is_a_range_with_both_ends_and_without_the_unknown(conditions, expected):
    assert find(**conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"tags": "resting"}, ["tigit-nk", "nkp30"]),
        ({"tags": ["two-colour", "activated"]}, ["tigit-nk", "nkp30"]),
        ({"tags": "rest"}, []),
        ({"authors": "Doe, Jane"}, ["tigit-nk"]),
        ({"authors": "WEIẞ"}, ["tigit-nk"]),
    ],
)
def test_search__in_columns_of_lists_any_element_may_match(conditions, expected):
    assert find(**conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"fluorophore": None}, ["tigit-t", "nkp30"]),
        ({"density_per_um2": None}, ["tigit-t"]),
        ({"drift_corrected": None}, ["nkp30"]),
        ({"authors": None}, ["tigit-t", "nkp30"]),
    ],
)
def test_search__none_finds_what_is_not_known(conditions, expected):
    assert find(**conditions) == expected


def test_search__all_conditions_must_hold():
    assert find(protein="TIGIT", n_rois=(None, 10), modality="PALM") == ["tigit-t"]
    assert find("cells", protein="TIGIT", n_rois=40) == ["tigit-nk"]
    assert find(protein="TIGIT", n_rois=300) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TIGIT", ["tigit-nk", "tigit-t"]),
        ("healthy", ["tigit-nk"]),
        ("s41467", ["nkp30"]),
        ("nk cell", ["tigit-nk"]),
        ("cell nk", ["tigit-nk"]),
        ("two-col", ["tigit-nk"]),
        ("doe,", ["tigit-nk"]),
        ("weiß", ["tigit-nk"]),
        ("ÉTUD", ["nkp30"]),
        (".*", []),
        ("nothing", []),
    ],
)
def test_search__words_are_looked_for_in_all_metadata(text, expected):
    assert find(text) == expected


@given(st.sampled_from(SEARCHED), st.integers(0, 2))
def test_search__finds_every_word_of_every_text(column, row):
    value = ROWS[row].get(column) or []
    for text in [value] if isinstance(value, str) else value:
        for word in text.split():
            assert ROWS[row]["dataset"] in find(word)


def test_search__of_what_was_found_goes_on():
    first = search(TABLE, None, {"n_rois": (8, None)}, lambda: searchable_text(TABLE))
    assert find(table=first, tags="resting") == ["tigit-nk", "nkp30"]
    assert find(table=first, tags="two-colour") == ["tigit-nk"]
    assert find("resting", table=first.slice(1)) == ["nkp30"]
    assert find(table=first.slice(1), tags="activated") == ["nkp30"]


@pytest.mark.parametrize("conditions", [{}, {"protein": "TIGIT"}, {"tags": "a"}, {"n_rois": (1, 2)}, {"authors": None}])
@pytest.mark.parametrize("text", [None, "cell"])
def test_search__of_an_empty_table_finds_nothing(conditions, text):
    assert find(text, table=tables.DATASETS.empty_table(), **conditions) == []


def test_search__names_the_columns_when_there_is_no_such():
    with pytest.raises(KeyError, match=r"no column 'proteins'; choose one of .*n_rois, .*protein, "):
        find(proteins="TIGIT")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"n_rois": "many"}, "n_rois is 'many': a whole number expected"),
        ({"n_rois": 7.5}, r"n_rois is 7\.5: a whole number expected"),
        ({"density_per_um2": "dense"}, "density_per_um2 is 'dense': a number expected"),
        ({"drift_corrected": "perhaps"}, "drift_corrected is 'perhaps': yes or no expected"),
        ({"n_rois": ("a", None)}, r"n_rois is \('a', None\): cannot be compared with int64"),
        ({"n_rois": (1, 2, 3)}, r"n_rois is \(1, 2, 3\): a range is \(low, high\).*; alternatives are a list"),
        ({"tags": ("a", "b")}, r"tags is \('a', 'b'\): cannot be compared with list"),
    ],
)
def test_search__says_what_a_column_expects(conditions, message):
    with pytest.raises(TypeError, match=message):
        find(**conditions)

"""Metadata conditions on the table of datasets."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SEARCHED = (
    "title", "protein", "uniprot", "cell_type", "fluorophore", "modality", "localization_software",
    "description", "doi", "contact", "license", "tags", "authors", "antibodies",
)  # fmt: skip
"""Columns in which free text is looked for."""


def search(table: pa.Table, text: str | None, conditions: Mapping[str, Any]) -> pa.Table:
    """Return the datasets that meet all conditions.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of the datasets table.
    text : str, optional
        Words that must all be found somewhere in the metadata, in any case.
    conditions : Mapping
        Column -> value (equality, text in any case), list of values (any of them), or ``(low, high)`` tuple (a
        range with both ends, None for an open end). In columns of lists any element may match.

    Raises
    ------
    KeyError
        If there is no such column.
    TypeError
        If a range is asked of a column without an order.
    """
    keep = pa.array([True] * table.num_rows) if not conditions and not text else None
    masks = [_mask(table, name, value) for name, value in conditions.items()]
    masks += [_contains(table, word) for word in (text or "").split()]
    for mask in masks:
        keep = mask if keep is None else pc.and_(keep, mask)
    return table.filter(keep)


def _mask(table: pa.Table, name: str, value: Any) -> Any:
    if name not in table.column_names:
        raise KeyError(f"no column {name!r}; choose one of {', '.join(sorted(table.column_names))}")
    column = table[name]
    if pa.types.is_list(column.type):
        wanted = value if isinstance(value, list) else [value]
        return _any_in_list(column, pa.array([str(w).casefold() for w in wanted]))
    if isinstance(value, tuple):
        return _in_range(column, name, value)
    if value is None:
        return pc.is_null(column)
    wanted = value if isinstance(value, list) else [value]
    if pa.types.is_string(column.type):
        folded = pa.array([str(w).lower() for w in wanted])
        return pc.fill_null(pc.is_in(pc.utf8_lower(column), value_set=folded), False)
    try:
        return pc.is_in(column, value_set=pa.array(wanted).cast(column.type))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise TypeError(f"{name} is {value!r}: {column.type} expected") from None


def _in_range(column: Any, name: str, limits: tuple[Any, ...]) -> Any:
    if len(limits) != 2:
        raise TypeError(
            f"{name} is {limits!r}: a range is (low, high), with None for an open end; alternatives are a list"
        )
    low, high = limits
    keep = pc.is_valid(column)
    try:
        if low is not None:
            keep = pc.and_(keep, pc.fill_null(pc.greater_equal(column, low), False))
        if high is not None:
            keep = pc.and_(keep, pc.fill_null(pc.less_equal(column, high), False))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise TypeError(f"{name} is {limits!r}: cannot be compared with {column.type}") from None
    return keep


def _any_in_list(column: Any, wanted: pa.Array) -> Any:
    """Return which lists hold one of the wanted texts."""
    lists = column.combine_chunks()
    found = pc.is_in(pc.utf8_lower(pc.list_flatten(lists)), value_set=wanted)
    rows = pc.list_parent_indices(lists).filter(found)
    return pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=rows.cast(pa.int64()))


def _contains(table: pa.Table, word: str) -> Any:
    """Return which datasets mention a word."""
    keep = None
    for name in SEARCHED:
        column = table[name]
        if pa.types.is_list(column.type):
            column = pc.binary_join(column.combine_chunks(), " ")
        mask = pc.fill_null(pc.match_substring(column, word, ignore_case=True), False)
        keep = mask if keep is None else pc.or_(keep, mask)
    return keep

"""Metadata conditions on the table of datasets."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SEARCHED = (
    "title", "protein", "uniprot", "cell_type", "fluorophore", "modality", "localization_software",
    "description", "doi", "contact", "license", "tags", "authors", "antibodies",
)  # fmt: skip
"""Columns in which free text is looked for."""


def search(table: pa.Table, text: str | None, conditions: Mapping[str, Any], texts: Callable[[], pa.Array]) -> pa.Table:
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
    texts : callable
        Gives :func:`searchable_text` of the table; asked for only when there is free text.

    Raises
    ------
    KeyError
        If there is no such column.
    TypeError
        If a range is asked of a column without an order.
    """
    keep = pa.array([True] * table.num_rows, pa.bool_())
    masks = [_mask(table, name, value) for name, value in conditions.items()]
    masks += [pc.match_substring(texts(), word.lower()) for word in (text or "").split()]
    for mask in masks:
        keep = pc.and_(keep, mask)
    return table.filter(keep)


def _mask(table: pa.Table, name: str, value: Any) -> Any:
    if name not in table.column_names:
        raise KeyError(f"no column {name!r}; choose one of {', '.join(sorted(table.column_names))}")
    column = table[name]
    if isinstance(value, tuple):
        return _in_range(column, name, value)
    if value is None:
        if pa.types.is_list(column.type):
            return pc.fill_null(pc.equal(pc.list_value_length(column), 0), True)
        return pc.is_null(column)
    wanted = value if isinstance(value, list) else [value]
    if pa.types.is_list(column.type):
        return _any_in_list(column, _folded(wanted))
    if pa.types.is_string(column.type):
        return pc.fill_null(pc.is_in(pc.utf8_lower(column), value_set=_folded(wanted)), False)
    try:
        return pc.is_in(column, value_set=pa.array(wanted).cast(column.type))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise TypeError(f"{name} is {value!r}: {_EXPECTED.get(str(column.type), column.type)} expected") from None


_EXPECTED = {"int64": "a whole number", "double": "a number", "bool": "yes or no"}


def _folded(texts: list[Any]) -> pa.Array:
    """Return texts in lower case, by the rules that fold the columns too."""
    return pc.utf8_lower(pa.array([str(text) for text in texts], pa.string()))


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


def searchable_text(table: pa.Table) -> pa.Array:
    """Return all metadata of each dataset as one text in lower case."""
    columns = []
    for name in SEARCHED:
        column = table[name].combine_chunks()
        columns.append(pc.binary_join(column, " ") if pa.types.is_list(column.type) else column)
    joined = pc.binary_join_element_wise(*columns, "\n", null_handling="skip")
    return pc.utf8_lower(joined)

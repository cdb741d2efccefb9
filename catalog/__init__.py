"""How to ask: the catalog of a lake, searched by metadata and by similarity."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.catalog import Catalog, open_catalog
    from catalog.dataset import Dataset

__all__ = ["Catalog", "Dataset", "open_catalog"]


def __getattr__(name: str) -> Any:
    """Import on first use: workers need parts of this package, but not xarray and pandas (2 s of import)."""
    if name == "Dataset":
        from catalog.dataset import Dataset  # noqa: PLC0415

        return Dataset
    if name in __all__:
        from catalog import catalog  # noqa: PLC0415

        return getattr(catalog, name)
    raise AttributeError(f"module 'catalog' has no attribute {name!r}")

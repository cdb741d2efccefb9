"""How to ask: the catalog of a lake, searched by metadata and by similarity."""

from catalog.catalog import Catalog, open_catalog
from catalog.dataset import Dataset

__all__ = ["Catalog", "Dataset", "open_catalog"]

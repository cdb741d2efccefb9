"""How to ask: the catalog of a lake, searched by metadata and by similarity."""

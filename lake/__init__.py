"""What is stored, and where: columns, grid, metadata, outlines, formats, storage, tables and arrays."""

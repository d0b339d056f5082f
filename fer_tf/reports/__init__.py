"""Draw figures, tables and self-contained pages of results."""

"""Public names, structures and identifiers that the generated screen borrows, as CSV tables."""

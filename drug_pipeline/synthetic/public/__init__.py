"""Public names and structures that the generated screen borrows."""

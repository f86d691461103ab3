"""The released files as they come: raw records and metadata tables, checked and cleaned."""

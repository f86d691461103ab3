"""From raw records to Δexpression: plain functions over Arrow batches and arrays; no files."""

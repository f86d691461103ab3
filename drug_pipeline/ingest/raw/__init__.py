"""Raw files: fetched, judged, listed, read."""

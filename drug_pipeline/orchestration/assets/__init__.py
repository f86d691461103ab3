"""Assets, one file a stage."""

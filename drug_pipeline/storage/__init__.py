"""The only readers and writers of files: atomic, fingerprinted, refused when stale or foreign."""

"""Where a map over work units runs: this process, local processes, a Ray cluster."""

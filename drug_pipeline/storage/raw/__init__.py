"""The raw folder, wherever it lies: this machine, an object store, a dataset hub."""

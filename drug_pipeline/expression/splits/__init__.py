"""Named splits of the conditions: what each holds out, drawn by hash and audited."""

"""What is ranked against what: retrieval tasks, galleries, what chance and a replicate find."""

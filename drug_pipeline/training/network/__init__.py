"""The network of a split: its inputs and batches, what it is trained for, the loop, its answers."""

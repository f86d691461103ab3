"""The network, torch only."""

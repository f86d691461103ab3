"""Processes that train together or beside each other: their group, their devices."""

"""What long work tells of itself: how far it is, and figures on the way."""

from collections.abc import Callable

Log = Callable[[dict[str, float], int], None]
"""Called with figures and the step they belong to."""
Progress = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what."""

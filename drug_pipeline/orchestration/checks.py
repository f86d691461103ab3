"""Blocking checks: each calls a plain function of a science floor and says what it found."""

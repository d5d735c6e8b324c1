"""Looks at a network and says what it is like."""

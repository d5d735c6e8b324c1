"""The service round the servers' machines: what it listens on, and what it says when it cannot."""

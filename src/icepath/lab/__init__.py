"""Scenarios on the virtual network: agents, servers and signalling put together."""

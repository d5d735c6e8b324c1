"""The virtual network: hosts, links, NATs and firewalls on virtual time; runs any machine unchanged."""

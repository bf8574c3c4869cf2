"""Addresses, names and Services on loopback."""

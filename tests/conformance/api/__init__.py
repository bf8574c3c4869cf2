"""Replay of what clients, controllers and scheduler of a real control plane said and did."""

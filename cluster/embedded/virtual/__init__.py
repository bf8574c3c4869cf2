"""Nodes without a machine: their pods are simulated, so that a cluster can have thousands of them."""

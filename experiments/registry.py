"""Faults in the model registry."""

from __future__ import annotations

from experiments import cluster


def disable(model: str, environment: str, namespace: str) -> str:
    """Disable a model without a reason or an owner, as a mistake does; returns the new status."""
    with cluster.failures():
        return cluster.registry(namespace).disable(environment, model).entry.status


def enable(model: str, environment: str, namespace: str) -> str:
    """Enable a model; returns the new status."""
    with cluster.failures():
        return cluster.registry(namespace).enable(environment, model).entry.status

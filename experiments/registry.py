"""Faults in the model registry."""

from __future__ import annotations

from chaoslib.exceptions import ActivityFailed

from clients.errors import GamedayError
from experiments import cluster


def disable(model: str, environment: str, namespace: str) -> str:
    """Disable a model without a reason or an owner, as a mistake does; returns the new status."""
    try:
        return cluster.registry(namespace).disable(model, environment).status
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error


def enable(model: str, environment: str, namespace: str) -> str:
    """Enable a model; returns the new status."""
    try:
        return cluster.registry(namespace).enable(model, environment).status
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error

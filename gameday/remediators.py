"""Which remediation is put to the test. A factory is given the kubeconfig and returns a Remediator."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from clients.errors import InputError
from remediation.engine import Remediator, RunbookRemediator
from remediation.policy import Policy

RemediatorFactory = Callable[[Path], Remediator]
SETTLING_SECONDS = 3.0
WINDOW_SECONDS = 4.0
CONFIRM_SECONDS = 3.0
ROLLOUT_SECONDS = 60.0
VALIDATE_SECONDS = 30.0
LEASE_SECONDS = 3


def runbook(kubeconfig: Path) -> Remediator:
    """The runbook's remediation, with the windows of a game day (production looks at longer ones)."""
    policy = Policy(
        settling_seconds=SETTLING_SECONDS,
        traffic_window_seconds=WINDOW_SECONDS,
        confirm_seconds=CONFIRM_SECONDS,
        rollout_timeout_seconds=ROLLOUT_SECONDS,
        validate_timeout_seconds=VALIDATE_SECONDS,
        lease_seconds=LEASE_SECONDS,
    )
    return RunbookRemediator(kubeconfig=kubeconfig, policy=policy)


def load_factory(name: str) -> RemediatorFactory:
    """A factory from ``module:attribute``. Raises InputError."""
    module_name, _, attribute = name.partition(":")
    try:
        factory: Any = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"cannot load the remediator: {error}", where=f"--remediator {name}", remedy="give module:attribute"
        ) from error
    if not callable(factory):
        raise InputError("it is not callable", where=f"--remediator {name}", remedy="name a factory of a Remediator")
    return cast(RemediatorFactory, factory)

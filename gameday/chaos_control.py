"""A Chaos Toolkit control that tells the conductor what an experiment does, and holds it after its method.

Chaos Toolkit runs method, hypothesis and rollbacks in one go. A game day repairs in between: after the method this
control waits until the conductor lets the experiment go on. It is given by the conductor alone
(``chaos run --control-file``), so that an experiment run standalone does not wait for anybody.

The two talk over a socket whose file descriptor is in ``GAMEDAY_HOLD_FD``, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from chaoslib.exceptions import InterruptExecution
from chaoslib.hypothesis import within_tolerance

_channel: socket.socket | None = None


def configure_control(**_: Any) -> None:
    """Connect to the conductor (Chaos Toolkit calls this once)."""
    global _channel
    _channel = socket.socket(fileno=int(os.environ["GAMEDAY_HOLD_FD"]))


def after_hypothesis_control(context: Mapping[str, Any], state: Mapping[str, Any], **_: Any) -> None:
    """Tell whether the steady state was met."""
    _tell("hypothesis", met=bool(state and state.get("steady_state_met")), probes=_failed_probes(state))


def before_activity_control(context: Mapping[str, Any], **_: Any) -> None:
    """Tell which activity starts."""
    _tell("activity-started", activity=context.get("name"), type=context.get("type"))


def after_activity_control(context: Mapping[str, Any], state: Mapping[str, Any], **_: Any) -> None:
    """Tell how an activity ended."""
    _tell(
        "activity-ended",
        activity=context.get("name"),
        type=context.get("type"),
        status=state.get("status"),
        tolerance_met=_tolerance_met(context, state),
        output=_short(state.get("output")),
        exception=_short("".join(state.get("exception") or [])[-400:]),
    )


def before_method_control(context: Mapping[str, Any], **_: Any) -> None:
    """Tell that the method starts."""
    _tell("method-started")


def after_method_control(context: Mapping[str, Any], state: Sequence[Mapping[str, Any]], **_: Any) -> None:
    """Tell that the method is done, and wait for the conductor's word.

    Raises InterruptExecution when the conductor wants to go straight to the rollbacks, or is gone.
    """
    _tell("method-ended", ok=all(run.get("status") == "succeeded" for run in state or []))
    word = _channel.makefile("r").readline().strip() if _channel else ""
    if word != "go on":
        raise InterruptExecution("the conductor ended the experiment: rolling back")


def before_rollback_control(context: Mapping[str, Any], **_: Any) -> None:
    """Tell that the rollbacks start."""
    _tell("rollbacks-started")


def after_rollback_control(context: Mapping[str, Any], state: Sequence[Mapping[str, Any]], **_: Any) -> None:
    """Tell how the rollbacks ended."""
    _tell("rollbacks-ended", ok=all(run.get("status") == "succeeded" for run in state or []))


def _tell(event: str, **detail: Any) -> None:
    if _channel is not None:
        line = json.dumps({"event": event, "at_seconds": time.monotonic(), **detail}, default=str)
        _channel.sendall(line.encode() + b"\n")


def _tolerance_met(context: Mapping[str, Any], state: Mapping[str, Any]) -> bool | None:
    """Whether a probe's output is what it should be; None without a tolerance.

    Chaos Toolkit looks at tolerances in the hypothesis only; here the method's last probe proves the fault's effect.
    """
    if "tolerance" not in context or state.get("status") != "succeeded":
        return None
    return bool(within_tolerance(context["tolerance"], state.get("output")))


def _failed_probes(state: Mapping[str, Any] | None) -> list[str]:
    probes = (state or {}).get("probes") or []
    return [str(p.get("activity", {}).get("name")) for p in probes if not p.get("tolerance_met")]


def _short(value: object) -> str:
    return "" if value is None else str(value)[:400]

"""Durations as Go prints them: events and statuses of a kubelet carry them."""

from __future__ import annotations


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: ``200ms``, ``10s``, ``1m20s``, ``5m0s``, ``1h0m0s``."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text

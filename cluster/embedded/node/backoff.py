"""Restart back-off of one container, as the kubelet keeps it."""

from __future__ import annotations


class RestartBackOff:
    """10, 20, 40 ... seconds between restarts, after a first restart that is immediate.

    The delay counts from the end of the container. It starts over when a container ended more than
    ``reset_seconds`` after its last restart. Times are seconds on one monotonic clock.
    """

    def __init__(self, base_seconds: float, max_seconds: float, reset_seconds: float) -> None:
        self._base_seconds = base_seconds
        self._max_seconds = max_seconds
        self._reset_seconds = reset_seconds
        self._last_update = 0.0
        self.delay_seconds = 0.0

    def remaining(self, finished_at: float, now: float) -> float:
        """Seconds until a container that ended at ``finished_at`` may start again; 0 or less: at once."""
        if not self.delay_seconds or self._expired(finished_at):
            return 0.0
        return finished_at + self.delay_seconds - now

    def advance(self, finished_at: float, now: float) -> None:
        """Note a restart: the next delay is the base, or twice the last one."""
        if not self.delay_seconds or self._expired(finished_at):
            self.delay_seconds = self._base_seconds
        else:
            self.delay_seconds = min(self.delay_seconds * 2, self._max_seconds)
        self._last_update = now

    def _expired(self, finished_at: float) -> bool:
        return finished_at - self._last_update > self._reset_seconds

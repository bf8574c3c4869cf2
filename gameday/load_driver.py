"""Starts the load process and follows its samples while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from clients.errors import EnvironmentUnusable
from gameday.evidence import Window, between, window
from load.profile import LoadProfile
from load.samples import Sample, SampleTail

_READ_SECONDS = 0.2


class LoadDriver:
    """One load process and everything it recorded so far.

    Args:
        url: the router's address.
        api_key: handed to the process in its environment, never on its command line.
        samples_path: where the process records.
        profile: what to offer.
    """

    def __init__(self, url: str, api_key: str, samples_path: Path, profile: LoadProfile) -> None:
        self.samples: list[Sample] = []
        self._url = url
        self._api_key = api_key
        self._path = samples_path
        self._profile = profile
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._tail = SampleTail(samples_path)
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._follow, name="load-samples", daemon=True)

    def start(self) -> None:
        """Start offering load."""
        profile_path = self._path.with_name("load-profile.yaml")
        profile_path.write_text(self._profile.model_dump_json())
        with self._path.with_name("load.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "load.runner", "--host", self._url),
                    *("--samples", str(self._path), "--load-profile", str(profile_path)),
                ],
                env={**os.environ, "GAMEDAY_API_KEY": self._api_key},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._reader.start()

    def stop(self) -> None:
        """End the load; requests in flight get a moment to end. May be called twice."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=8)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._stopping.set()
        self._reader.join(timeout=5)

    def ensure_running(self) -> None:
        """Raises EnvironmentUnusable, with the end of its log, when the load process has died."""
        if self._process is not None and self._process.poll() is not None and not self._stopping.is_set():
            log = self._path.with_name("load.log").read_text(errors="replace").strip().splitlines()
            raise EnvironmentUnusable(
                f"the load process ended with code {self._process.returncode}",
                where="load.runner",
                remedy="; ".join(log[-3:]),
            )

    def since(self, start_seconds: float) -> list[Sample]:
        """The samples whose intended start is at or after a moment, ordered by it."""
        with self._changed:
            chosen = [sample for sample in self.samples if sample.intended_seconds >= start_seconds]
        return sorted(chosen, key=lambda sample: sample.intended_seconds)

    def last(self, seconds: float) -> Window:
        """What the clients saw in the last seconds (requests that have ended)."""
        now = time.monotonic()
        return window(between(self.since(now - seconds), now - seconds, now))

    def wait_until(self, condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Wait until a condition on the samples holds; it is looked at whenever samples arrive."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            self.ensure_running()
            with self._changed:
                if time.monotonic() >= deadline:
                    return False
                self._changed.wait(min(0.5, deadline - time.monotonic()))
        return True

    def _follow(self) -> None:
        while True:
            ended = self._stopping.is_set()
            fresh = self._tail.read()
            with self._changed:
                self.samples.extend(fresh)
                self._changed.notify_all()
            if ended:
                return
            self._stopping.wait(_READ_SECONDS)

"""Locust users that offer an open-model load of completions and chats.

Works by itself with Locust's web UI::

    locust -f load/locustfile.py --host http://ROUTER:8080 --api-key KEY
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Group
from locust import User, events, task

from load.arrivals import Arrival, arrivals
from load.http_client import Endpoint, send
from load.profile import LoadProfile
from load.samples import Sample, SampleWriter


@events.init_command_line_parser.add_listener
def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-key", default=os.environ.get("GAMEDAY_API_KEY", ""), help="bearer token of the router")
    parser.add_argument("--load-profile", default="", help="YAML file with a load profile")


class OpenModelUser(User):
    """One source of arrivals: it starts every request when the schedule says, whether or not others have ended."""

    fixed_count = 1

    def on_start(self) -> None:
        """Read the options of the run."""
        options = self.environment.parsed_options
        profile_path = getattr(options, "load_profile", "")
        self.profile = LoadProfile.load(Path(profile_path)) if profile_path else LoadProfile()
        api_key = getattr(options, "api_key", "") or os.environ.get("GAMEDAY_API_KEY", "")
        self.endpoint = Endpoint(self.host or "", api_key, self.profile.timeout_seconds)
        self.writer: SampleWriter | None = getattr(options, "sample_writer", None)
        given: Group | None = getattr(options, "in_flight", None)
        self.in_flight = Group() if given is None else given  # an empty group is false

    @task
    def offer(self) -> None:
        """Follow the schedule until Locust stops the user."""
        start = time.monotonic()
        for arrival in arrivals(self.profile):
            intended = start + arrival.offset_seconds
            gevent.sleep(max(0.0, intended - time.monotonic()))
            self.in_flight.spawn(self._send, arrival, intended)

    def _send(self, arrival: Arrival, intended_seconds: float) -> None:
        sample = send(self.endpoint, self.profile.model, arrival, intended_seconds)
        if self.writer is not None:
            self.writer.write(sample)
        self.environment.events.request.fire(**_locust_report(sample))


def _locust_report(sample: Sample) -> dict[str, Any]:
    return {
        "request_type": "SSE" if sample.stream else "POST",
        "name": sample.kind,
        "response_time": sample.latency_seconds * 1000,
        "response_length": sample.tokens,
        "exception": None if sample.outcome == "ok" else RuntimeError(sample.outcome),
        "context": {},
    }

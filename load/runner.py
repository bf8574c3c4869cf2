"""Runs the Locust users in a process of its own and records every request.

Locust patches the interpreter (gevent), so it is kept out of the conductor's process. The runner is told what to
do by its arguments, the API key comes in the environment, and it answers by its sample file alone::

    GAMEDAY_API_KEY=... python -m load.runner --host http://ROUTER:8080 --samples samples.jsonl [--load-profile F]

It stops at SIGTERM (requests in flight get a moment to end), or when its parent is gone.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
from pathlib import Path

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust import events
from locust.env import Environment

from load.locustfile import OpenModelUser
from load.samples import SampleWriter

FLUSH_SECONDS = 0.2
DRAIN_SECONDS = 3.0
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Entry point of the load process."""
    options = _parse()
    _end_with_parent()
    stopping = Event()
    gevent.signal_handler(signal.SIGTERM, stopping.set)
    gevent.signal_handler(signal.SIGINT, lambda: None)  # a Ctrl-C is the conductor's to handle
    with Path(options.samples).open("a") as stream:
        options.sample_writer = SampleWriter(stream)
        options.in_flight = Group()
        environment = Environment(user_classes=[OpenModelUser], events=events, host=options.host)
        environment.parsed_options = options
        runner = environment.create_local_runner()
        runner.start(1, spawn_rate=1)
        while not stopping.wait(FLUSH_SECONDS):
            options.sample_writer.flush()
        runner.stop()
        options.in_flight.join(timeout=DRAIN_SECONDS)
        options.sample_writer.flush()


def _end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent dies, so that no load outlives its run."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load.runner", description="offer load and record every request")
    parser.add_argument("--host", required=True)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--load-profile", default="")
    options = parser.parse_args()
    options.api_key = os.environ.get("GAMEDAY_API_KEY", "")
    return options


if __name__ == "__main__":
    main()

"""What the node says that a container uses, against what the kernel says of its processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import psutil
import pytest

from cluster.embedded.node.instance import Instance
from cluster.embedded.node.usage import UsageMeter

BURN = "import time; held = bytearray(b'x') * 30_000_000; print(flush=True)\nwhile time.process_time() < 100: pass"


@dataclass
class Measured:
    """As much of an instance as is measured."""

    identity: str
    roots: set[int]
    has_exited: bool = False


@pytest.fixture
def burning() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_cpu_is_a_mean_over_the_window_and_memory_is_at_its_end(burning: Any) -> None:
    async def scenario() -> None:
        meter, instance = UsageMeter(1.0), Measured("a", {burning.pid})
        measured = cast("list[Instance]", [instance])
        await meter.look(measured)
        assert meter.usage_of("a") is None, "one look is no window"
        before = cpu_seconds(burning.pid)
        while cpu_seconds(burning.pid) < before + 0.3:
            await asyncio.sleep(0.01)
        await meter.look(measured)
        usage = meter.usage_of("a")
        assert usage is not None
        spent = cpu_seconds(burning.pid) - before
        assert usage.cpu_nanocores * 1e-9 * usage.window_seconds == pytest.approx(spent, abs=0.05)
        assert 0.2 < usage.window_seconds < 10
        assert 30_000_000 < usage.memory_bytes < 60_000_000
        instance.has_exited = True
        await meter.look(measured)
        assert meter.usage_of("a") is None, "what has ended uses nothing"

    asyncio.run(scenario())

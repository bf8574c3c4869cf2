"""Containers that end start again, with Kubernetes' back-off, states, events and exit codes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.node.backoff import RestartBackOff
from cluster.embedded.node.durations import go_duration
from tests.cluster.node.conftest import app, condition, processes_of, python, run, shell


def _reason(pod):
    return (app(pod)["state"].get("waiting") or {}).get("reason")


def test_the_first_restart_is_immediate_and_the_next_ones_wait_twice_as_long_each_time(node):
    async def scenario():
        async with node(restart_backoff_base_seconds=0.3, sync_period_seconds=0.05) as lab:
            await lab.run("crash", {"command": shell("exit 1")})
            await lab.eventually(lambda: len(lab.events.times("crash", "Started")) == 4)
            times = lab.events.times("crash", "Started")
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert gaps[0] < 0.3
            for gap, expected in zip(gaps[1:], (0.3, 0.6), strict=True):
                assert expected <= gap < expected + 0.3

    run(scenario())


def test_a_crash_loop_shows_the_states_and_events_of_a_real_one(node):
    async def scenario():
        async with node() as lab:
            await lab.run("crash", {"command": shell("echo bye; exit 1")})
            ended = await lab.until("crash", lambda p: "terminated" in app(p)["state"])
            assert app(ended)["state"]["terminated"]["exitCode"] == 1
            assert app(ended)["state"]["terminated"]["reason"] == "Error"
            assert ended["status"]["phase"] == "Running"
            assert condition(ended, "Ready")["reason"] == "ContainersNotReady"
            again = await lab.until("crash", lambda p: app(p).get("restartCount") == 1)
            assert app(again)["lastState"]["terminated"]["exitCode"] == 1
            looping = await lab.until("crash", lambda p: _reason(p) == "CrashLoopBackOff")
            uid = looping["metadata"]["uid"]
            assert app(looping)["state"]["waiting"]["message"] == (
                f"back-off 400ms restarting failed container=app pod=crash_test({uid})"
            )
            assert app(looping)["restartCount"] == 1
            assert not app(looping)["ready"]
            assert set(lab.events.messages("crash", "BackOff")) == {
                f"Back-off restarting failed container app in pod crash_test({uid})"
            }
            assert lab.events.reasons("crash")[:7] == [
                "Pulled", "Created", "Started", "Pulled", "Created", "Started", "BackOff",
            ]  # fmt: skip

    run(scenario())


def test_a_container_above_its_memory_limit_is_killed_within_200_ms(node):
    allocates = python(
        """
        import os, time
        print("start", flush=True)
        held = []
        while True:
            held.append(bytearray(4 << 20))
            resident = int(open("/proc/self/statm").read().split()[1]) * 4096
            print(f"{time.monotonic()} {resident}", flush=True)
            time.sleep(0.02)
        """
    )

    async def scenario():
        async with node() as lab:
            container = {"command": allocates, "resources": {"limits": {"memory": "64Mi"}}}
            await lab.run("oom", container, restartPolicy="Never")
            pod = await lab.until("oom", lambda p: p["status"].get("phase") == "Failed")
            ended = app(pod)["state"]["terminated"]
            assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
            lines = [line.split() for line in (await lab.log("oom")).splitlines()[1:]]
            above = [float(at) for at, resident in lines if int(resident) > (64 << 20) + (16 << 20)]
            assert len(lines) >= 10
            assert not above or float(lines[-1][0]) - above[0] < 0.2
            assert pod["status"]["qosClass"] == "Burstable"

    run(scenario())


def test_memory_of_child_processes_is_charged_to_the_container(node):
    forks = shell("""python3 -c "x = bytearray(96 << 20); import time; time.sleep(60)" & wait; sleep 60""")

    async def scenario():
        async with node() as lab:
            container = {"command": forks, "resources": {"limits": {"memory": "64Mi"}}}
            await lab.run("oom", container, restartPolicy="Never")
            pod = await lab.until("oom", lambda p: p["status"].get("phase") == "Failed")
            assert app(pod)["state"]["terminated"]["reason"] == "OOMKilled"

    run(scenario())


def test_a_container_below_its_memory_limit_lives(node):
    async def scenario():
        async with node() as lab:
            command = python("x = bytearray(20 << 20); import time; time.sleep(0.6)")
            container = {"command": command, "resources": {"limits": {"memory": "128Mi"}}}
            await lab.run("fits", container, restartPolicy="Never")
            await lab.until("fits", lambda p: p["status"].get("phase") == "Succeeded")

    run(scenario())


def test_restart_policies_decide_on_the_phase(node):
    async def scenario():
        async with node() as lab:
            await lab.run("done", {"command": ["true"]}, restartPolicy="OnFailure")
            await lab.run("failed", {"command": shell("exit 3")}, restartPolicy="Never")
            await lab.run("again", {"command": shell("exit 3")}, restartPolicy="OnFailure")
            await lab.until("done", lambda p: p["status"].get("phase") == "Succeeded")
            failed = await lab.until("failed", lambda p: p["status"].get("phase") == "Failed")
            assert condition(failed, "Ready")["reason"] == "PodFailed"
            await lab.until("again", lambda p: app(p).get("restartCount") == 2)

    run(scenario())


def test_what_a_container_started_ends_with_it(node):
    async def scenario():
        async with node() as lab:
            command = python(
                """
                import subprocess
                subprocess.Popen(["sleep", "300"], start_new_session=True)
                """
            )
            await lab.run("parent", {"command": command}, restartPolicy="Never")
            await lab.until("parent", lambda p: p["status"].get("phase") == "Succeeded")
            assert processes_of(lab.settings.root) == []

    run(scenario())


def test_a_long_run_resets_the_back_off():
    backoff = RestartBackOff(10, 300, 600)
    now = 0.0
    for expected in (0, 10, 20, 40):
        assert backoff.remaining(now, now) == expected
        now += expected
        backoff.advance(now, now)
    assert backoff.remaining(now + 615, now + 615) == 0
    backoff.advance(now + 615, now + 615)
    assert backoff.delay_seconds == 10


@given(st.lists(st.integers(0, 500), max_size=30))
def test_the_back_off_never_exceeds_its_maximum_nor_is_negative(runs):
    backoff = RestartBackOff(10, 300, 600)
    now = 0.0
    for length in runs:
        ended = now + length
        delay = backoff.remaining(ended, ended)
        assert 0 <= delay <= 300
        now = ended + delay
        backoff.advance(ended, now)


def test_durations_read_as_in_go():
    assert [go_duration(s) for s in (0, 0.4, 10, 80, 160, 300, 3600)] == [
        "0s", "400ms", "10s", "1m20s", "2m40s", "5m0s", "1h0m0s",
    ]  # fmt: skip

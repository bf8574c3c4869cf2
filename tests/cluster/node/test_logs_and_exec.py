"""Logs and commands of containers, as the API server asks for them."""

from __future__ import annotations

import asyncio

import pytest

from cluster.embedded.apiserver.pod_streams import LogOptions
from cluster.embedded.client import ApiError
from cluster.embedded.node.logs import ContainerLog, LineWriter
from tests.cluster.node.conftest import app, is_ready, python, run, shell


async def _exec(lab, command, *, stdin=b"", tty=False, pod="web", container="app"):
    session = await lab.agent.exec("test", pod, container, command, stdin=bool(stdin) or tty, tty=tty)
    if stdin:
        await session.write_stdin(stdin)
        await session.close_stdin()
    chunks = [chunk async for chunk in session.output()]
    out, err = (b"".join(data for n, data in chunks if n == number).decode() for number in (1, 2))
    return await session.wait(), out, err


def test_logs_of_this_run_and_of_the_one_before(node):
    async def scenario():
        async with node(restart_backoff_base_seconds=60) as lab:
            command = shell('echo "run $(cat "$TMPDIR/n")"; echo x >> "$TMPDIR/n"; echo err >&2; exit 1')
            await lab.run("crash", {"command": command})
            await lab.until(
                "crash", lambda p: (app(p)["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff"
            )
            assert "run x" in await lab.log("crash")
            assert "err" in await lab.log("crash")
            assert "run x" in await lab.log("crash", previous=True)

    run(scenario())


def test_tail_limit_timestamps_and_since(node):
    async def scenario():
        async with node() as lab:
            await lab.run("lines", {"command": shell("seq 1 10; printf end")}, restartPolicy="Never")
            await lab.until("lines", lambda p: p["status"].get("phase") == "Succeeded")
            assert await lab.log("lines", tail_lines=3) == "9\n10\nend"
            assert await lab.log("lines", tail_lines=0) == ""
            assert await lab.log("lines", limit_bytes=5) == "1\n2\n3"
            assert await lab.log("lines", since_seconds=60) == await lab.log("lines")
            stamped = await lab.log("lines", timestamps=True, tail_lines=2)
            assert stamped.startswith("20")
            assert stamped.splitlines()[0].endswith("Z 10")

    run(scenario())


def test_following_a_log_ends_with_the_container(node):
    async def scenario():
        async with node() as lab:
            ticks = python(
                "import time\nfor n in range(5):\n    print(n, flush=True)\n    time.sleep(0.05)\ntime.sleep(0.1)"
            )
            await lab.run("ticks", {"command": ticks}, restartPolicy="Never")
            await lab.until("ticks", lambda p: "running" in app(p)["state"])
            text = await asyncio.wait_for(lab.log("ticks", follow=True), 5)
            assert text == "0\n1\n2\n3\n4\n"

    run(scenario())


def test_logs_that_are_not_there(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", {"command": shell("exec sleep 60")})
            two = [{"name": n, "image": "lab.local/app:1", "command": shell("exec sleep 60")} for n in ("app", "side")]
            await lab.run("two", containers=two)
            await lab.run("missing", {"image": "lab.local/nothing:1"})
            await lab.until("web", is_ready)
            await lab.until("two", is_ready)
            await lab.until(
                "missing", lambda p: (app(p)["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff"
            )
            cases = [
                (
                    ("web", "app"),
                    {"previous": True},
                    400,
                    'previous terminated container "app" in pod "web" not found',
                ),
                (("web", "zz"), {}, 400, "container zz is not valid for pod web"),
                (
                    ("two", ""),
                    {},
                    400,
                    "a container name must be specified for pod two, choose one of: [app side]",
                ),
                (
                    ("missing", "app"),
                    {},
                    400,
                    'container "app" in pod "missing" is waiting to start: trying and failing to pull image',
                ),
                (("nopod", ""), {}, 404, 'pods "nopod" not found'),
            ]
            for (pod, container), options, code, message in cases:
                with pytest.raises(ApiError) as caught:
                    await lab.log(pod, container, **options)
                assert (caught.value.code, caught.value.problem) == (code, message)

    run(scenario())


def test_commands_run_in_the_environment_of_the_container(node):
    async def scenario():
        async with node() as lab:
            container = {
                "command": shell("exec sleep 60"),
                "env": [{"name": "COLOUR", "value": "blue"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
            await lab.run("web", container, volumes=[{"name": "data", "emptyDir": {}}])
            await lab.until("web", is_ready)
            script = "echo $COLOUR; echo oops >&2; exit 3"
            assert await _exec(lab, ["sh", "-c", script]) == (3, "blue\n", "oops\n")
            assert await _exec(lab, ["hello", "there"]) == (0, "hello there\n", "")
            assert await _exec(lab, ["cat"], stdin=b"fed") == (0, "fed", "")
            assert (await _exec(lab, ["touch", "/data/x"]))[0] == 0
            assert (await _exec(lab, ["ls", "/data"]))[1] == "x\n"
            code, out, _ = await _exec(lab, ["tty"], tty=True)
            assert code == 0
            assert out.startswith("/dev/pts/")

    run(scenario())


def test_a_program_that_is_not_there_cannot_be_executed(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", {"command": shell("exec sleep 60")})
            await lab.until("web", is_ready)
            with pytest.raises(ApiError) as caught:
                await _exec(lab, ["/no/such/program"])
            text = caught.value.problem
            assert caught.value.code == 500
            assert text.startswith(
                "Internal error occurred: error executing command in container: failed to exec in container: "
            )
            assert text.endswith('exec: "/no/such/program": stat /no/such/program: no such file or directory: unknown')

    run(scenario())


def test_a_command_ends_with_its_container(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", {"command": shell("sleep 0.5")}, restartPolicy="Never")
            await lab.until("web", is_ready)
            assert await asyncio.wait_for(_exec(lab, ["sleep", "60"]), 5) == (137, "", "")

    run(scenario())


def test_a_killed_command_is_gone(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", {"command": shell("exec sleep 60")})
            await lab.until("web", is_ready)
            session = await lab.agent.exec("test", "web", "app", ["sleep", "60"], stdin=False, tty=False)
            await session.kill()
            assert await session.wait() == 137
            assert is_ready(await lab.pod("web"))

    run(scenario())


def test_a_log_keeps_two_parts_of_limited_size(tmp_path):
    async def scenario():
        log = ContainerLog(tmp_path / "0.log", max_bytes=1000)
        writer = LineWriter(log, "stdout")
        for number in range(200):
            writer.data_received(f"line {number}\n".encode())
        writer.data_received(b"x" * 40_000)
        writer.connection_lost(None)
        log.close()
        sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
        assert len(sizes) == 2
        text = b"".join([line async for line in log.read(LogOptions())])
        assert text.endswith(b"x")

    run(scenario())

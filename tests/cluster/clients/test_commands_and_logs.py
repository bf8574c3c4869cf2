"""kubectl exec, attach, run, cp and logs on real containers."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import termios
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.clients.conftest import Completed, Kubectl, wait_for
from tests.cluster.clients.manifests import POD, TWO

READER = """
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: app
    image: lab/app:v1
    stdin: true
    stdinOnce: true
    command: [sh, -c, "while read line; do echo got $line; echo err $line >&2; done; echo end"]
    volumeMounts: [{name: data, mountPath: /data}]
"""

CRASHING = """
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  containers:
  - {name: app, image: "lab/app:v1", command: [sh, -c, "echo run; exit 3"]}
"""

PROMPT = r"[#$] $"


@pytest.fixture
def web(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=POD)
    kubectl.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")


@pytest.fixture
def two(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=TWO)
    kubectl.ok("wait", "--for=condition=Ready", "pod/two", "--timeout=20s")
    wait_for(lambda: "tock 3" in kubectl("logs", "two", "-c", "ticker").out, "three ticks")


@pytest.fixture
def reader(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=READER)
    kubectl.ok("wait", "--for=condition=Ready", "pod/reader", "--timeout=20s")


def read_until(descriptor: int, pattern: str, *, seconds: float = 10) -> str:
    """What a terminal shows until a pattern appears."""
    shown, deadline = "", time.monotonic() + seconds
    while not re.search(pattern, shown):
        assert time.monotonic() < deadline, f"{pattern!r} is not in {shown!r}"
        if select.select([descriptor], [], [], 0.1)[0]:
            shown += os.read(descriptor, 4096).decode()
    return shown


@pytest.mark.usefixtures("web")
def test_exec_gives_output_and_exit_code(kubectl: Kubectl) -> None:
    assert kubectl.ok("exec", "web", "--", "echo", "hi", "there") == "hi there\n"
    failed = kubectl("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (failed.code, failed.out, failed.err) == (3, "out\n", "err\ncommand terminated with exit code 3\n")
    assert kubectl.ok("exec", "-i", "web", "--", "cat", stdin="typed\n" * 50_000) == "typed\n" * 50_000
    missing = kubectl("exec", "web", "--", "/no/such/program")
    assert missing.code == 1
    assert missing.err.startswith("error: Internal error occurred: Internal error occurred: error executing command in")
    assert 'exec: "/no/such/program": stat /no/such/program: no such file or directory' in missing.err


@pytest.mark.usefixtures("two")
def test_exec_says_which_container_it_took(kubectl: Kubectl) -> None:
    done = kubectl("exec", "two", "--", "true")
    assert (done.code, done.err) == (0, 'Defaulted container "app" out of: app, ticker\n')
    assert "container zz is not valid for pod two" in kubectl("exec", "two", "-c", "zz", "--", "true").err


@pytest.mark.usefixtures("web")
def test_exec_on_a_terminal_knows_its_size_and_its_signals(kubectl: Kubectl) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (31, 97))
    with kubectl.running("exec", "-it", "web", "--", "sh", stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        read_until(ours, PROMPT)
        os.write(ours, b"stty size\r")
        read_until(ours, "31 97\r\n")
        termios.tcsetwinsize(ours, (20, 40))
        process.send_signal(signal.SIGWINCH)
        os.write(ours, b"sleep 0.1; stty size\r")
        read_until(ours, r"20 40\r\n" + PROMPT)
        os.write(ours, b"cat\r")
        read_until(ours, "cat\r\n")
        os.write(ours, b"\x03")
        read_until(ours, PROMPT)
        os.write(ours, b"exit 7\r")
        assert process.wait(10) == 7
    os.close(ours)


@pytest.mark.usefixtures("web")
def test_a_command_ends_when_kubectl_is_killed(kubectl: Kubectl) -> None:
    with kubectl.running("exec", "web", "--", "sh", "-c", "echo begun; exec sleep 986532") as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
    wait_for(lambda: not _runs("986532"), "the command of a client that is gone ends")


def _runs(word: str) -> bool:
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sleep" and word.encode() in words:
            return True
    return False


@pytest.mark.usefixtures("two")
def test_attach_shows_what_is_printed_from_now_on(kubectl: Kubectl) -> None:
    with kubectl.running("attach", "two", "-c", "ticker") as process:
        assert process.stdout
        first = process.stdout.readline()
        assert re.fullmatch(r"tick \d+\n", first)
        assert first != "tick 1\n"
    assert kubectl.ok("get", "pod", "two", "-o", "jsonpath={.status.phase}") == "Running"


@pytest.mark.usefixtures("reader")
def test_attach_feeds_a_container_whose_input_ends_with_the_client(kubectl: Kubectl) -> None:
    done = kubectl("attach", "-i", "reader", stdin="a\nb\n")
    assert "got a\ngot b\nend\n" in done.out
    kubectl.ok("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=10s")
    assert sorted(kubectl.ok("logs", "reader").split("\n")) == ["", "end", "err a", "err b", "got a", "got b"]
    assert "cannot attach a container in a completed pod; current phase is Succeeded" in kubectl("attach", "reader").err


def test_run_feeds_and_removes_its_pod(kubectl: Kubectl) -> None:
    script = "read line; echo told $line; exit 5"
    arguments = (
        "--image=lab/app:v1",
        "--restart=Never",
        "-i",
        "--rm",
        "--quiet",
        "--command",
        "--",
        "sh",
        "-c",
        script,
    )
    done = kubectl("run", "once", *arguments, stdin="me\n")
    assert done.out.startswith("told me\n")
    assert done.code == 5
    assert 'pods "once" not found' in kubectl("get", "pod", "once").err


def test_run_on_a_terminal(kubectl: Kubectl) -> None:
    ours, theirs = pty.openpty()
    arguments = ("--image=lab/app:v1", "--restart=Never", "-it", "--command", "--", "sh")
    with kubectl.running("run", "shell", *arguments, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        read_until(ours, "try pressing enter")
        os.write(ours, b"\r")
        read_until(ours, PROMPT)
        os.write(ours, b"tty; echo $((6*7)); exit\r")
        shown = read_until(ours, "42\r\n", seconds=20)
        assert "/dev/pts/" in shown
        assert process.wait(10) == 0
    os.close(ours)


@pytest.mark.usefixtures("reader")
def test_cp_carries_files_and_folders_both_ways(kubectl: Kubectl, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file.bin").write_bytes(content)
    (tmp_path / "note.txt").write_text("hello\n")
    kubectl.ok("cp", "note.txt", "reader:/data/renamed.txt")
    kubectl.ok("cp", "tree", "reader:/data/tree")
    assert kubectl.ok("exec", "reader", "--", "cat", "/data/renamed.txt") == "hello\n"
    kubectl.ok("cp", "reader:/data/tree", "back")
    assert (tmp_path / "back" / "deep" / "file.bin").read_bytes() == content
    kubectl.ok("cp", "reader:/data/renamed.txt", "note.back")
    assert (tmp_path / "note.back").read_text() == "hello\n"
    kubectl("cp", "reader:/data/nosuch", "x")  # how kubectl ends here is a race of its own
    assert not (tmp_path / "x").exists()
    kubectl.ok("cp", "reader:/data", "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["renamed.txt", "tree"]


@pytest.mark.usefixtures("two")
def test_logs_in_every_form(kubectl: Kubectl) -> None:
    tail = kubectl.ok("logs", "two", "-c", "ticker", "--tail=2").splitlines()
    assert len(tail) == 2
    limited = kubectl.ok("logs", "two", "-c", "ticker", "--limit-bytes=20")
    assert len(limited) == 20
    stamped = kubectl.ok("logs", "two", "-c", "ticker", "--timestamps", "--tail=1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z t[io]ck \d+\n", stamped)
    assert "tick 1\n" in kubectl.ok("logs", "two", "-c", "ticker", "--since=1h")
    assert "tick 1\n" in kubectl.ok("logs", "two", "-c", "ticker", "--since-time=2020-01-01T00:00:00Z")
    kubectl.ok("exec", "two", "-c", "ticker", "--", "sleep", "1.3")
    assert "tick 1\n" not in kubectl.ok("logs", "two", "-c", "ticker", "--since=1s")
    every = kubectl.ok("logs", "two", "--all-containers", "--prefix", "--tail=1").splitlines()
    app, ticker = sorted(every)  # kubectl asks for them in the order of a Go map, which is none
    assert app == "[pod/two/app] serving"
    assert ticker.startswith("[pod/two/ticker] t")
    assert kubectl("logs", "two").err == 'Defaulted container "app" out of: app, ticker\n'
    assert kubectl("logs", "two", "-c", "zz").err == "error: container zz is not valid for pod two\n"
    namespace = kubectl.namespace
    assert (
        kubectl("logs", "no").err
        == f'error: error from server (NotFound): pods "no" not found in namespace "{namespace}"\n'
    )


@pytest.mark.usefixtures("two")
def test_a_followed_log_goes_on_until_the_container_ends(kubectl: Kubectl) -> None:
    with kubectl.running("logs", "-f", "two", "-c", "ticker", "--tail=2") as process:
        assert process.stdout
        assert len([process.stdout.readline() for _ in range(6)]) == 6
        kubectl.ok("delete", "pod", "two", "--wait=false")
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert "tick" in rest


def test_logs_by_label_and_by_owner(kubectl: Kubectl) -> None:
    kubectl.ok("create", "deployment", "d", "--image=lab/app:v1", "--replicas=2")
    kubectl.ok("rollout", "status", "deploy/d", "--timeout=20s")
    wait_for(lambda: kubectl("logs", "-l", "app=d").out == "serving\nserving\n", "both logs")
    done = kubectl("logs", "deploy/d")
    assert (done.out, done.err.startswith("Found 2 pods, using pod/d-")) == ("serving\n", True)


def test_the_log_of_the_run_before(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=CRASHING)
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    wait_for(lambda: kubectl("get", "pod", "crashing", "-o", restarts).out not in ("", "0"), "a restart")
    assert kubectl.ok("logs", "crashing", "--previous") == "run\n"
    kubectl.ok("apply", "-f", "-", stdin=POD)
    kubectl.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    none = 'Error from server (BadRequest): previous terminated container "app" in pod "web" not found\n'
    assert kubectl("logs", "web", "-p").err == none


@pytest.mark.usefixtures("web")
def test_output_that_nobody_reads_holds_the_command_up(kubectl: Kubectl, kube: Any, kubeconfig: Path) -> None:
    from kubernetes import client
    from kubernetes.stream import stream

    server = psutil.Process(json.loads((kubeconfig.parent / "cluster.json").read_text())["pid"])
    core, before = client.CoreV1Api(kube), server.memory_info().rss
    session = stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        kubectl.namespace,
        command=["sh", "-c", "yes & echo $! > $TMPDIR/pid; wait"],
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    written = "grep wchar /proc/$(cat $TMPDIR/pid)/io"

    def look() -> Completed:
        return kubectl("exec", "web", "--", "sh", "-c", written)

    wait_for(lambda: (first := look()).code == 0 and look() == first, "`yes` waits to be read")
    assert server.memory_info().rss - before < 50_000_000
    session.close()
    wait_for(lambda: look().code != 0, "`yes` ends with its client")

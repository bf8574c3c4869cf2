"""admin-cli as an operator types it, over both ways to the registry."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.registry import RegistryClient
from services.model_registry import admin_cli
from tests.services.platform_harness import RedisProcess

from .conftest import TOKEN, StartRegistry

ENDPOINT = "llama-2-7b-production.system.svc.cluster.local:8000"
PRODUCTION = ("--model-name", "llama-2-7b", "--environment", "production")
SCRIPT = Path(__file__).parents[3] / "services" / "images" / "model-registry" / "bin" / "admin-cli"


class Shell:
    """Runs admin-cli with settings; stdout and stderr are kept apart."""

    def __init__(self, settings: dict[str, str], capture: pytest.CaptureFixture[str]) -> None:
        self.settings = settings
        self._capture = capture
        self.out = self.err = ""

    def run(self, *arguments: str) -> int:
        self._capture.readouterr()
        try:
            code = admin_cli.main(arguments, self.settings)
        except SystemExit as stop:
            code = int(stop.code or 0)
        self.out, self.err = self._capture.readouterr()
        return code


Settings = Callable[[], dict[str, str]]


@pytest.fixture(params=["http", "database"])
def shell(
    request: pytest.FixtureRequest,
    start_registry: StartRegistry,
    database_url: str,
    redis: RedisProcess,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    if request.param == "database":
        return Shell({"ADMIN_CLI_DATABASE_URL": database_url, "ADMIN_CLI_REDIS_URL": redis.url}, capsys)
    client = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url)
    return Shell({"ADMIN_CLI_REGISTRY_URL": client._base_url, "ADMIN_CLI_TOKEN": TOKEN}, capsys)


def registered(shell: Shell) -> Shell:
    assert shell.run("registry", "register", *PRODUCTION, "--endpoint", ENDPOINT) == 0
    return shell


def test_the_runbooks_scenario_of_a_disabled_model(shell: Shell) -> None:
    registered(shell)
    assert shell.run("registry", "disable", *PRODUCTION, "--reason", "rollback", "--owner", "alice") == 0
    assert shell.run("deployment", "status", *PRODUCTION) == 0
    assert "disabled" in shell.out
    assert shell.run("registry", "enable", *PRODUCTION) == 0
    assert shell.out == ""
    assert "rollback (by alice)" in shell.err
    assert shell.run("registry", "list", "--environment", "production") == 0
    row = next(line for line in shell.out.splitlines() if "llama-2-7b" in line)
    assert re.split(r"\s{2,}", row)[:6] == ["1", "llama-2-7b", ENDPOINT, "ready", "production", "system"]


def test_list_prints_its_columns_and_nothing_else_on_stdout(shell: Shell) -> None:
    registered(shell)
    shell.run("registry", "list")
    header, separator, row = shell.out.splitlines()
    assert re.split(r"\s{2,}", header) == [
        *("ID", "Model Name", "Endpoint", "Status", "Environment", "Namespace", "Last Health", "Updated"),
    ]
    assert separator.split() == ["--"] * 8
    assert re.fullmatch(r".*never\s+\d{4}-\d\d-\d\d \d\d:\d\d", row)
    assert "Total: 1" in shell.err


def test_verbose_names_the_registry_without_secrets(shell: Shell) -> None:
    assert shell.run("registry", "list", "--verbose") == 0
    assert "Registry: " in shell.err
    assert TOKEN not in shell.err


def test_quiet_says_nothing_on_stderr(shell: Shell) -> None:
    registered(shell)
    shell.run("registry", "list", "--quiet")
    assert shell.err == ""


def test_json_is_an_envelope(shell: Shell) -> None:
    registered(shell)
    shell.run("deployment", "status", "--environment", "production", "--format", "json")
    envelope = json.loads(shell.out)
    assert (envelope["success"], set(envelope)) == (True, {"success", "timestamp", "data"})
    entry = envelope["data"][0]
    assert {
        *("id", "model_name", "endpoint", "status", "environment", "namespace"),
        *("last_health", "created_at", "updated_at"),
    } <= set(entry)
    assert (entry["model_name"], entry["status"]) == ("llama-2-7b", "ready")


def test_csv_is_csv(shell: Shell) -> None:
    registered(shell)
    shell.run("registry", "list", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(shell.out)))
    assert rows[0]["Model Name"] == "llama-2-7b"


def test_a_match_is_exact(shell: Shell) -> None:
    registered(shell)
    shell.run(
        "registry",
        "register",
        "--model-name",
        "llama-2-7b-chat",
        "--endpoint",
        "h:1",
        "--environment",
        "production",
    )
    shell.run("deployment", "status", *PRODUCTION, "--format", "json")
    assert [entry["model_name"] for entry in json.loads(shell.out)["data"]] == ["llama-2-7b"]


def test_nothing_found_exits_0_and_says_so(shell: Shell) -> None:
    assert shell.run("deployment", "status", "--model-name", "nobody") == 0
    assert "No deployment found in development" in shell.err
    assert shell.run("registry", "list") == 0


def test_deregister_keeps_the_entry_disabled(shell: Shell) -> None:
    registered(shell)
    assert shell.run("registry", "deregister", *PRODUCTION) == 0
    shell.run("registry", "list", "--status", "disabled")
    assert "llama-2-7b" in shell.out


def test_registering_a_disabled_model_warns_and_leaves_it_disabled(shell: Shell) -> None:
    registered(shell)
    shell.run("registry", "disable", *PRODUCTION, "--reason", "bad outputs", "--owner", "alice")
    registered(shell)
    assert "stays disabled: bad outputs (by alice)" in shell.err
    assert shell.run("registry", "register", *PRODUCTION, "--endpoint", ENDPOINT, "--force", "--format", "json") == 0
    assert json.loads(shell.out)["data"][0]["status"] == "ready"


def test_a_change_clears_the_cached_entry(shell: Shell, start_registry: StartRegistry, redis: RedisProcess) -> None:
    registered(shell)
    reader = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url)
    reader.get("production", "llama-2-7b")
    assert redis.keys() == ["model_registry:production:llama-2-7b"]
    shell.run("registry", "disable", *PRODUCTION)
    assert redis.keys() == []


def test_a_change_that_cannot_clear_the_cache_says_so(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    shell = registered(Shell({"DATABASE_URL": database_url}, capsys))
    assert shell.run("registry", "disable", *PRODUCTION) == 0
    assert "within 120 s" in shell.err


def test_a_dry_run_changes_nothing(shell: Shell) -> None:
    registered(shell)
    for verb in ("disable", "enable", "deregister"):
        assert shell.run("registry", verb, *PRODUCTION, "--dry-run") == 0
        assert "nothing was changed" in shell.err
    shell.run("registry", "list", "--format", "json")
    assert [entry["status"] for entry in json.loads(shell.out)["data"]] == ["ready"]


@pytest.mark.parametrize("verb", ["enable", "disable", "deregister"])
def test_an_unknown_model_exits_1(shell: Shell, verb: str) -> None:
    assert shell.run("registry", verb, "--model-name", "nobody") == 1
    assert "nobody" in shell.err
    assert shell.out == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("registry", "register", "--model-name", "m"), "--endpoint"),
        (("registry", "register", "--model-name", "m", "--endpoint", "no-port"), "no-port"),
        (("registry", "enable", "--model-name", "m", "--environment", "prod"), "prod"),
        (("registry", "enable", "--model", "m"), "--model-name"),
        (("registry", "list", "--status", "good"), "good"),
        (("registry", "list", "--format", "xml"), "xml"),
        (("registry",), "VERB"),
        (("registry", "list", "--model-name", "m"), "--model-name"),
    ],
)
def test_bad_input_exits_2_and_names_it(shell: Shell, arguments: tuple[str, ...], named: str) -> None:
    assert shell.run(*arguments) == 2
    assert named in shell.err


@pytest.mark.parametrize(
    ("settings", "code", "named"),
    [
        ({}, 2, "ADMIN_CLI_REGISTRY_URL"),
        ({"ADMIN_CLI_REGISTRY_URL": "registry:8081"}, 2, "registry:8081"),
        ({"ADMIN_CLI_REGISTRY_URL": "http://127.0.0.1:1"}, 3, "127.0.0.1:1"),
        ({"ADMIN_CLI_DATABASE_URL": "sqlite:////no/such/folder/x.db"}, 3, "database"),
        ({"ADMIN_CLI_DATABASE_URL": "mysql://h/d"}, 2, "ADMIN_CLI_DATABASE_URL"),
    ],
)
def test_a_registry_that_cannot_be_had_is_named(
    settings: dict[str, str], code: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(settings, capsys)
    assert shell.run("registry", "list") == code
    assert named in shell.err


def test_a_wrong_token_exits_2(start_registry: StartRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    url = start_registry()._base_url
    RegistryClient(url, TOKEN).register("production", "llama-2-7b", ENDPOINT)
    shell = Shell({"ADMIN_CLI_REGISTRY_URL": url, "ADMIN_CLI_TOKEN": "wrong"}, capsys)
    assert shell.run("registry", "disable", *PRODUCTION) == 2
    assert "token" in shell.err
    assert "wrong" not in shell.err


def test_the_images_admin_cli_runs_as_a_program(start_registry: StartRegistry) -> None:
    client = start_registry()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [SCRIPT, "registry", "register", *PRODUCTION, "--endpoint", ENDPOINT],
        env={"PATH": path, "ADMIN_CLI_REGISTRY_URL": client._base_url, "ADMIN_CLI_TOKEN": TOKEN},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, "llama-2-7b" in done.stdout) == (0, True), done.stderr
    assert [entry.endpoint for entry in client.list()] == [ENDPOINT]

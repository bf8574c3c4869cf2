"""admin-cli: the registry from a shell, with the commands and flags that the runbook uses.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 the operation failed (an unknown model,
for example); 2 bad input; 3 the registry or its database cannot be reached.

| variable | meaning |
|---|---|
| `ADMIN_CLI_REGISTRY_URL`, `ADMIN_CLI_TOKEN` | the registry service and its token; preferred |
| `ADMIN_CLI_DATABASE_URL` (or `DATABASE_URL`) | the database itself |
| `ADMIN_CLI_REDIS_URL` | with a database: where the cache is, so that changes take effect at once |
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from clients.errors import DeadlineExceeded, EnvironmentUnusable, GamedayError, InputError
from clients.registry import RegistryChange
from services.model_registry import entries
from services.model_registry.admin_output import FORMATS, LIST_COLUMNS, STATUS_COLUMNS, render
from services.model_registry.admin_transports import Transport, open_transport, transport_name

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_UNAVAILABLE = 3
STALE_SECONDS = 120

Command = Callable[[argparse.Namespace, Callable[[], Transport]], None]


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    settings = os.environ if environment is None else environment
    options = _parser().parse_args(arguments)
    try:
        _check(options)
        command: Command = options.command
        if options.verbose:
            _tell(options, f"Registry: {transport_name(settings)}")
        command(options, lambda: open_transport(settings, _owner(options)))
    except InputError as error:
        return _fail(error, EXIT_INPUT)
    except (EnvironmentUnusable, DeadlineExceeded) as error:
        return _fail(error, EXIT_UNAVAILABLE)
    except GamedayError as error:
        return _fail(error, EXIT_FAILED)
    return 0


def _fail(error: GamedayError, code: int) -> int:
    sys.stderr.write(f"Error: {error}\n")
    return code


def _register(options: argparse.Namespace, connect: Callable[[], Transport]) -> None:
    if _only_dry(options, f"register {options.model_name} in {options.environment} at {options.endpoint}"):
        return
    change = connect().register(
        options.environment, options.model_name, options.endpoint, options.namespace, force=options.force
    )
    _tell(options, f"Registered {_named(options)} at {options.endpoint}, status {change.entry.status}")
    if change.entry.status == "disabled":
        _warn(f"it stays disabled: {_who_and_why(change)}; put it into traffic with 'registry enable'")
    _warn_of_stale_cache(change)
    sys.stdout.write(render([change.entry], LIST_COLUMNS, options.format))


def _enable(options: argparse.Namespace, connect: Callable[[], Transport]) -> None:
    if _only_dry(options, f"enable {_named(options)}"):
        return
    change = connect().enable(options.environment, options.model_name)
    _tell(options, f"Enabled {_named(options)}, status {change.entry.status} (was {change.previous_status})")
    if change.previous_reason:
        _tell(options, f"It had been disabled: {_who_and_why(change)}")
    _warn_of_stale_cache(change)


def _disable(options: argparse.Namespace, connect: Callable[[], Transport]) -> None:
    if _only_dry(options, f"disable {_named(options)}"):
        return
    change = connect().disable(options.environment, options.model_name, options.reason, _owner(options))
    _tell(options, f"Disabled {_named(options)}, status {change.entry.status} (was {change.previous_status})")
    _warn_of_stale_cache(change)


def _deregister(options: argparse.Namespace, connect: Callable[[], Transport]) -> None:
    if _only_dry(options, f"deregister {_named(options)}"):
        return
    change = connect().disable(options.environment, options.model_name)
    _tell(options, f"Deregistered {_named(options)}, status {change.entry.status} (the entry is kept)")
    _warn_of_stale_cache(change)
    if options.format != "table":
        sys.stdout.write(render([change.entry], LIST_COLUMNS, options.format))


def _list(options: argparse.Namespace, connect: Callable[[], Transport]) -> None:
    found = connect().list(options.environment, options.status)
    sys.stdout.write(render(found, LIST_COLUMNS, options.format))
    _tell(options, f"Total: {len(found)}")


def _status(options: argparse.Namespace, connect: Callable[[], Transport]) -> None:
    found = connect().list(options.environment, None, options.model_name)
    if not found:
        _tell(options, f"No deployment found in {options.environment}")
    if found or options.format != "table":
        sys.stdout.write(render(found, STATUS_COLUMNS, options.format))


def _check(options: argparse.Namespace) -> None:
    if options.environment is not None:
        entries.check_environment(options.environment)
    if getattr(options, "model_name", None) is not None:
        entries.check_names(options.model_name, options.environment)
    if getattr(options, "endpoint", None) is not None:
        entries.check_endpoint(options.endpoint)
    if getattr(options, "status", None) is not None:
        entries.check_status(options.status)


def _only_dry(options: argparse.Namespace, intent: str) -> bool:
    if options.dry_run:
        _tell(options, f"Dry run: would {intent}; nothing was changed")
    return bool(options.dry_run)


def _tell(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        sys.stderr.write(text + "\n")


def _warn(text: str) -> None:
    sys.stderr.write(f"Warning: {text}\n")


def _warn_of_stale_cache(change: RegistryChange) -> None:
    if change.cache == "kept":
        _warn(f"the cached entry was not cleared; the change takes effect within {STALE_SECONDS} s")
    elif change.cache == "pending":
        _warn("Redis does not answer; the cached entry is cleared as soon as it does")


def _who_and_why(change: RegistryChange) -> str:
    return f"{change.previous_reason or 'no reason given'} (by {change.previous_owner or 'unnamed'})"


def _named(options: argparse.Namespace) -> str:
    return f"{options.model_name} in {options.environment}"


def _owner(options: argparse.Namespace) -> str:
    """Who runs the command: ``--owner``, else the login name, else nobody."""
    try:
        return str(getattr(options, "owner", "") or getpass.getuser())
    except (OSError, KeyError):
        return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="admin-cli", description="Manage the model registry.", allow_abbrev=False)
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    registry = groups.add_parser("registry", help="register, enable, disable and list models")
    verbs = registry.add_subparsers(required=True, metavar="VERB")
    register = _command(verbs, "register", "register a model, or say that it is served elsewhere now", _register)
    register.add_argument("--endpoint", required=True, metavar="HOST:PORT", help="where it is served")
    register.add_argument("--namespace", default="system", help="its Kubernetes namespace (system)")
    register.add_argument("--force", action="store_true", help="also put it into traffic if it was disabled on purpose")
    deregister = _command(verbs, "deregister", "take a model out of traffic; the entry is kept", _deregister)
    enable = _command(verbs, "enable", "put a model into traffic", _enable)
    disable = _command(verbs, "disable", "take a model out of traffic", _disable)
    disable.add_argument("--reason", default="", help="why; it then stays disabled until somebody enables it")
    disable.add_argument("--owner", default="", help="who decided it (your login name)")
    for changing in (register, deregister, enable, disable):
        _add_identity(changing)
    listing = _command(verbs, "list", "list the models", _list)
    listing.add_argument("--environment", help="only this environment (all)")
    listing.add_argument("--status", help="only this status (all)")
    deployment = groups.add_parser("deployment", help="what the registry says of deployments")
    status = _command(
        deployment.add_subparsers(required=True, metavar="VERB"),
        "status",
        "show the registered deployments",
        _status,
    )
    status.add_argument("--model-name", help="only this model (all)")
    status.add_argument("--environment", default="development", help="its environment (development)")
    for shown in (register, deregister, listing, status):
        shown.add_argument("--format", choices=FORMATS, default="table", help="output format (table)")
    return parser


def _command(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, command: Command
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command)
    parser.add_argument("--verbose", action="store_true", help="also say which registry is used")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _add_identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-name", required=True, help="the model")
    parser.add_argument("--environment", default="development", help="its environment (development)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")


if __name__ == "__main__":
    raise SystemExit(main())

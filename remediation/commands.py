"""The kubectl, helm and admin-cli command lines that do by hand what an action does."""

from __future__ import annotations

import json
import shlex

from remediation.model import (
    ActionKind,
    ClearCacheKey,
    EnableModel,
    HelmRollback,
    HelmUpgrade,
    PatchStrategy,
    Target,
    VerifyCompletion,
    VerifyRouting,
    WaitRollout,
)
from remediation.policy import Policy


def command_for(action: ActionKind, target: Target, chart: str, policy: Policy) -> str:
    """One command line, quoted for a POSIX shell. Secrets appear as variables. `chart` names the release's own
    chart.
    """
    match action:
        case HelmUpgrade(set_values):
            return _upgrade(target, chart, set_values)
        case HelmRollback(revision):
            return _join("helm", "rollback", target.release, str(revision), "--namespace", target.namespace)
        case WaitRollout(deployment):
            timeout = f"--timeout={policy.rollout_timeout_seconds:.0f}s"
            return _kubectl(target, "rollout", "status", f"deployment/{deployment}", timeout)
        case PatchStrategy():
            return _patch(target, action)
        case VerifyCompletion():
            return _pod_completion(target)
        case ClearCacheKey():
            url = f"{target.registry_url}/v1/registry/cache/{target.environment}/{target.model}"
            return f'curl --fail -X DELETE -H "Authorization: Bearer $REGISTRY_TOKEN" {shlex.quote(url)}'
        case EnableModel():
            model = ("--model-name", target.model, "--environment", target.environment)
            return _join("admin-cli", "registry", "enable", *model)
        case VerifyRouting():
            return _routing(target)


def completion_body(model: str) -> dict[str, object]:
    """The smallest completion request: one token."""
    return {"model": model, "prompt": "test", "max_tokens": 1}


def _upgrade(target: Target, chart: str, set_values: tuple[tuple[str, str], ...]) -> str:
    path = str(target.chart) if target.chart else f"./{chart or 'CHART'}"
    sets = [part for key, value in set_values for part in ("--set", f"{key}={value}")]
    return _join(
        "helm", "upgrade", target.release, path, "--namespace", target.namespace, "--reset-then-reuse-values", *sets
    )


def _patch(target: Target, action: PatchStrategy) -> str:
    body = json.dumps(strategy_patch(action), separators=(",", ":"))
    return _kubectl(target, "patch", f"deployment/{action.deployment}", "--type=merge", "-p", body)


def strategy_patch(action: PatchStrategy) -> dict[str, object]:
    """The merge patch of a Deployment that an action stands for."""
    rolling = {"maxSurge": action.max_surge, "maxUnavailable": action.max_unavailable}
    return {"spec": {"strategy": {"rollingUpdate": rolling}}}


def _pod_completion(target: Target) -> str:
    selector = f"app.kubernetes.io/instance={target.release}"
    body = json.dumps(completion_body(target.model))
    return (
        f"for pod in $({_kubectl(target, 'get', 'pods', '-l', selector, '-o', 'name')}); do "
        f"kubectl exec -n {shlex.quote(target.namespace)} $pod -- curl --fail -s localhost:8000/v1/completions "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}; done"
    )


def _routing(target: Target) -> str:
    url = f"{target.router_url or 'http://api-router:8080'}/v1/completions"
    body = json.dumps(completion_body(target.model))
    return (
        f"curl --fail -X POST {shlex.quote(url)} "
        f"-H \"Authorization: Bearer $API_KEY\" -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )


def _kubectl(target: Target, *arguments: str) -> str:
    return _join("kubectl", *arguments, "--namespace", target.namespace)


def _join(*arguments: str) -> str:
    return shlex.join(arguments)

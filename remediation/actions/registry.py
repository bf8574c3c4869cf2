"""Changes in the model registry and its cache (runbook scenarios 3 and 4; notes 11)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from remediation.actions.base import Action, ActionResult, CommandContext, Tools, shell


@dataclass(frozen=True)
class ClearCacheKey(Action):
    """Delete the model's one key from the registry's cache; never the whole database (W34)."""

    budget: ClassVar[str] = "registrations"

    def command(self, context: CommandContext) -> str:
        target = context.target
        url = f"{target.registry_url}/v1/registry/cache/{target.environment}/{target.model}"
        return f'curl --fail -X DELETE -H "Authorization: Bearer $REGISTRY_TOKEN" {shlex.quote(url)}'

    def perform(self, tools: Tools) -> ActionResult:
        target = tools.target
        tools.required_registry.clear_cache(target.environment, target.model)
        key = f"model_registry:{target.environment}:{target.model}"
        return ActionResult(True, f"deleted the cache key {key}", changed=key)

    def undo(self, context: CommandContext) -> str:
        return "nothing: the next request fills the cache again"


@dataclass(frozen=True)
class EnableModel(Action):
    """Set the model ready in the registry, unless somebody disabled it on purpose."""

    budget: ClassVar[str] = "registrations"

    def command(self, context: CommandContext) -> str:
        return shell("admin-cli", "registry", "enable", *_model(context))

    def perform(self, tools: Tools) -> ActionResult:
        """Look again before changing: somebody may have disabled it on purpose in the meantime."""
        registry, target = tools.required_registry, tools.target
        entry = registry.entry(target.environment, target.model)
        if entry is None:
            return ActionResult(False, f"model {target.model} ({target.environment}) is not registered")
        if entry.status == "ready":
            return ActionResult(True, f"model {target.model} is ready already")
        if entry.on_purpose:
            return ActionResult(False, f"disabled on purpose by {entry.owner}: {entry.reason}")
        now = registry.enable(target.environment, target.model)
        return ActionResult(now.status == "ready", f"status is {now.status}", changed=f"{entry.status} -> {now.status}")

    def undo(self, context: CommandContext) -> str:
        return shell("admin-cli", "registry", "disable", *_model(context))


@dataclass(frozen=True)
class RegisterEndpoint(Action):
    """Register the model at an endpoint (`HOST:PORT`); an intentional disable stays in force (W39)."""

    endpoint: str
    budget: ClassVar[str] = "registrations"

    def command(self, context: CommandContext) -> str:
        where = ("--endpoint", self.endpoint, "--namespace", context.target.namespace)
        return shell("admin-cli", "registry", "register", *_model(context), *where)

    def perform(self, tools: Tools) -> ActionResult:
        registry, target = tools.required_registry, tools.target
        before = registry.entry(target.environment, target.model)
        if before is not None and before.on_purpose:
            return ActionResult(False, f"disabled on purpose by {before.owner}: {before.reason}")
        if before is not None and before.endpoint == self.endpoint and before.status == "ready":
            return ActionResult(True, f"it is registered at {self.endpoint} already")
        now = registry.register(target.environment, target.model, self.endpoint, target.namespace)
        was = before.endpoint if before else "not registered"
        done = now.endpoint == self.endpoint
        return ActionResult(done, f"registered at {now.endpoint}", changed=f"{was} -> {now.endpoint}")

    def undo(self, context: CommandContext) -> str:
        return "register the endpoint that it had before: see `changed` in the event"


def _model(context: CommandContext) -> tuple[str, ...]:
    return ("--model-name", context.target.model, "--environment", context.target.environment)

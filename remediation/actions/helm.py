"""Changes of the Helm release (runbook, "Remediation" of every scenario; notes 7)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from clients import helm_release
from clients.errors import OperationFailed
from clients.helm_release import StoredRelease, set_value
from remediation.actions.base import Action, ActionResult, CommandContext, Tools, shell


@dataclass(frozen=True)
class HelmUpgrade(Action):
    """Upgrade with what is deployed plus `set_values` (dotted path -> value); nothing else is dropped (W27)."""

    set_values: tuple[tuple[str, str], ...]
    budget: ClassVar[str] = "upgrades"

    def command(self, context: CommandContext) -> str:
        target = context.target
        path = str(target.chart) if target.chart else f"./{context.chart or 'CHART'}"
        sets = [part for key, value in self.set_values for part in ("--set", f"{key}={value}")]
        where = ("--namespace", target.namespace, "--reset-then-reuse-values")
        return shell("helm", "upgrade", target.release, path, *where, *sets)

    def perform(self, tools: Tools) -> ActionResult:
        """The chart's defaults, the release's own values, then the changes."""
        newest = newest_revision(tools)
        values = dict(newest.user_values)
        for path, value in self.set_values:
            values = set_value(values, path, value)
        text = ", ".join(f"{path}={value}" for path, value in self.set_values)
        if values == newest.user_values and newest.status == "deployed":
            return ActionResult(True, f"revision {newest.revision} has {text} already")
        with tempfile.TemporaryDirectory(prefix="remediation-chart-") as folder:
            chart = tools.target.chart or helm_release.write_chart(newest, Path(folder))
            tools.helm.upgrade(tools.target.release, chart, values)
        return ActionResult(True, f"upgraded to revision {newest.revision + 1}", changed=text)

    def undo(self, context: CommandContext) -> str:
        return shell("helm", "rollback", context.target.release, "--namespace", context.target.namespace)


@dataclass(frozen=True)
class HelmRollback(Action):
    """Go back to a revision. A newest revision that is that rollback already is left alone."""

    revision: int
    budget: ClassVar[str] = "rollbacks"

    def command(self, context: CommandContext) -> str:
        target = context.target
        return shell("helm", "rollback", target.release, str(self.revision), "--namespace", target.namespace)

    def perform(self, tools: Tools) -> ActionResult:
        newest = newest_revision(tools)
        if newest.status == "deployed" and newest.description == f"Rollback to {self.revision}":
            return ActionResult(True, f"revision {newest.revision} is that rollback already")
        tools.helm.rollback(tools.target.release, self.revision)
        changed = f"revision {newest.revision + 1}"
        return ActionResult(True, f"rolled back to revision {self.revision}", changed=changed)

    def undo(self, context: CommandContext) -> str:
        return shell("helm", "rollback", context.target.release, "--namespace", context.target.namespace)


def newest_revision(tools: Tools) -> StoredRelease:
    """The release's newest revision in whatever state, read just now.

    Raises:
        OperationFailed: it has no history.
    """
    stored = tools.observer.stored_releases()
    if not stored:
        raise OperationFailed("it has no Helm history", where=f"release {tools.target.release}")
    return stored[-1]

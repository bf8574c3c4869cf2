"""One module per family of failures: what it looks like, and what can be done about it.

A family of a team's own is found by entry point (group `gameday.remediation_rules`, an object of `RuleFamily`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from clients.errors import InputError
from remediation.model import Finding
from remediation.policy import Policy
from remediation.remedy import Refusal, Remedy, Situation
from remediation.snapshot import HelmRevision, Snapshot

if TYPE_CHECKING:
    from remediation.observe import Observer

GROUP = "gameday.remediation_rules"

Rule = Callable[[Snapshot, Policy], Sequence[Finding]]
RemedyOf = Callable[[Finding, Situation], Remedy | Refusal]
Observe = Callable[["Observer", Snapshot], object]
RollbackHelps = Callable[[HelmRevision, Finding], bool]


@dataclass(frozen=True)
class RuleFamily:
    """A family of failures.

    Attributes:
        find: pure; the same snapshot gives the same findings.
        remedies: pure; for each cause that can be repaired, how.
        observe: reads what only this family needs; the result is `snapshot.observations[name]`. Called with every
            snapshot, so it must be cheap. It may raise GamedayError, and then the observation is missing.
        rollback_helps: pure; whether a revision is free of a finding of this family.
    """

    name: str
    find: Rule
    remedies: Mapping[str, RemedyOf] = field(default_factory=dict)
    observe: Observe | None = None
    rollback_helps: RollbackHelps | None = None


@cache
def families() -> tuple[RuleFamily, ...]:
    """All families: those of this package (every module with a `FAMILY`), then those of other packages.

    Raises:
        InputError: a registered family cannot be loaded, or has the name of another one.
    """
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    own = [importlib.import_module(f"{__name__}.{name}") for name in modules]
    found: list[RuleFamily] = [module.FAMILY for module in own if hasattr(module, "FAMILY")]
    for entry in entry_points(group=GROUP):
        found.append(_loaded(entry))
        if len({family.name for family in found}) < len(found):
            raise InputError(f"there is a family {found[-1].name!r} already", where=f"entry point {entry.value}")
    return tuple(found)


def _loaded(entry: object) -> RuleFamily:
    where, value = f"entry point {GROUP}", getattr(entry, "value", "")
    try:
        family = entry.load()  # type: ignore[attr-defined]
    except Exception as error:
        raise InputError(f"{value} cannot be loaded: {error}", where=where, remedy="mend or uninstall it") from error
    if not isinstance(family, RuleFamily):
        raise InputError(f"{value} is no RuleFamily", where=where, remedy="name an object of RuleFamily")
    return family

"""PolicyRules: which actions they allow, and whether some rules cover others. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.embedded.apiserver.authorization.attributes import Attributes

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule, compiled. Source: rbac.authorization.k8s.io/v1 PolicyRule."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        """A rule as it stands in a Role."""
        keys = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(frozenset(rule.get(key) or ()) for key in keys))

    def allows(self, asked: Attributes) -> bool:
        """Whether the rule allows the action."""
        if asked.verb not in self.verbs and ALL not in self.verbs:
            return False
        if asked.path:
            return any(_url_matches(url, asked.path) for url in self.urls)
        return (
            (asked.group in self.groups or ALL in self.groups)
            and self._allows_resource(asked)
            and (not self.names or asked.name in self.names)
        )

    def _allows_resource(self, asked: Attributes) -> bool:
        resources = self.resources
        if ALL in resources or asked.combined_resource in resources:
            return True
        return bool(asked.subresource) and f"*/{asked.subresource}" in resources

    def covers(self, atom: Rule) -> bool:
        """Whether every action that a rule of one verb and one resource (or URL) allows is allowed by this one."""
        if not _within(atom.verbs, self.verbs):
            return False
        if atom.urls:
            return all(any(_url_covers(mine, url) for mine in self.urls) for url in atom.urls)
        names_fit = not self.names or (bool(atom.names) and atom.names <= self.names)
        return names_fit and _within(atom.groups, self.groups) and self._covers_resources(atom.resources)

    def _covers_resources(self, resources: frozenset[str]) -> bool:
        mine = self.resources
        if ALL in mine or resources <= mine:
            return True
        return all(r in mine or ("/" in r and f"*/{r.split('/', 1)[1]}" in mine) for r in resources)

    def atoms(self) -> Iterator[Rule]:
        """The rule in parts of one verb and one resource (or URL) each."""
        for verb in sorted(self.verbs):
            for url in sorted(self.urls):
                yield Rule(frozenset({verb}), urls=frozenset({url}))
            for group in sorted(self.groups):
                for resource in sorted(self.resources):
                    for names in [frozenset({n}) for n in sorted(self.names)] or [frozenset[str]()]:
                        yield Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), names)


def missing(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Those parts of some rules that no held rule covers."""
    owned = list(held)
    return [atom for rule in wanted for atom in rule.atoms() if not any(mine.covers(atom) for mine in owned)]


def describe(atoms: Iterable[Rule]) -> list[str]:
    """Parts of rules in words, verbs of the same resource together, in order."""
    verbs: dict[tuple[frozenset[str], ...], set[str]] = {}
    for atom in atoms:
        verbs.setdefault((atom.groups, atom.resources, atom.urls, atom.names), set()).update(atom.verbs)
    return sorted(_describe(*key, frozenset(value)) for key, value in verbs.items())


def _describe(*values: frozenset[str]) -> str:
    titles = ("APIGroups", "Resources", "NonResourceURLs", "ResourceNames", "Verbs")
    shown = (f"{title}:{quoted(sorted(value))}" for title, value in zip(titles, values, strict=True) if value)
    return "{" + ", ".join(shown) + "}"


def quoted(values: Iterable[str]) -> str:
    """A list of strings as Go prints it with %q."""
    return f"[{' '.join(json.dumps(value, ensure_ascii=False) for value in values)}]"


def _within(wanted: frozenset[str], held: frozenset[str]) -> bool:
    return ALL in held or wanted <= held


def _url_matches(pattern: str, path: str) -> bool:
    if pattern.endswith(ALL):
        return path.startswith(pattern.rstrip(ALL))
    return pattern == path


def _url_covers(mine: str, url: str) -> bool:
    return _url_matches(mine, url.rstrip(ALL) if mine.endswith(ALL) else url)

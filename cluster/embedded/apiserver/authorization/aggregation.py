"""Keeps the rules of aggregated ClusterRoles: the union of the rules of those that their selectors find.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from cluster.embedded.apiserver.selectors import label_selector
from cluster.embedded.apiserver.table_format import NONE
from cluster.embedded.apiserver.table_format import label_selector as selector_text
from cluster.embedded.client import ApiClient
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.resources import CLUSTER_ROLES, Object


class ClusterRoleAggregator:
    """A controller of the ClusterRoles that have an aggregationRule."""

    def __init__(self, client: ApiClient, cluster_roles: Informer) -> None:
        self._client = client
        self._roles = cluster_roles
        self._queue = WorkQueue(self.reconcile, name="clusterrole-aggregation-controller")
        cluster_roles.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        for role in self._roles.objects.values():
            if role.get("aggregationRule"):
                self._queue.add(("", role["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        """Write the rules of one role, unless they are as they should be."""
        role = self._roles.get(*key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = aggregated_rules(role, list(self._roles.objects.values()))
        if rules != (role.get("rules") or []):
            await self._client.update(CLUSTER_ROLES, {**role, "rules": rules})


def aggregated_rules(role: Object, cluster_roles: list[Object]) -> list[Object]:
    """The rules that an aggregated role has to have, each once, ordered by the names of their roles."""
    rules: list[Object] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or []:
        text = selector_text(selector)
        selected = label_selector("" if text == NONE else text)  # an empty selector selects everything
        for other in sorted(cluster_roles, key=lambda r: str(r["metadata"]["name"])):
            if other["metadata"]["name"] != role["metadata"]["name"] and selected(other):
                rules += [rule for rule in other.get("rules") or [] if rule not in rules]
    return rules

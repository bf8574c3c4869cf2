"""The authorizer of a running API server: a Policy that follows the roles and bindings of the cluster."""

from __future__ import annotations

import asyncio

from cluster.embedded.apiserver.authorization.aggregation import ClusterRoleAggregator
from cluster.embedded.apiserver.authorization.attributes import Attributes, User
from cluster.embedded.apiserver.authorization.policy import Decision, Policy
from cluster.embedded.apiserver.authorization.refusals import forbidden
from cluster.embedded.client import ApiClient
from cluster.embedded.informer import Informers
from cluster.embedded.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Object

_KINDS = (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)


class Authorizer:
    """Decides on requests by the roles and bindings that the API holds.

    The rules of a user are compiled once; any change of a role or binding makes them be compiled anew.
    """

    def __init__(self, client: ApiClient) -> None:
        self._informers = Informers(client)
        self._policy: Policy | None = None
        for kind in _KINDS:
            self._informers.of(kind).add_handler(self._changed)
        self._aggregator = ClusterRoleAggregator(client, self._informers.of(CLUSTER_ROLES))

    @property
    def policy(self) -> Policy:
        """The policy as it stands."""
        if self._policy is None:
            self._policy = Policy(*(self._informers.of(kind).objects.values() for kind in _KINDS))
        return self._policy

    async def run(self) -> None:
        """Follow the API until cancelled, and keep the rules of aggregated ClusterRoles."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._aggregator.run())

    async def synced(self) -> None:
        """Wait until the roles and bindings are known."""
        await self._informers.synced()

    def authorize(self, user: User, asked: Attributes) -> Decision:
        """Decide on one action of a user."""
        return self.policy.authorize(user, asked)

    def require(self, user: User, asked: Attributes) -> None:
        """Raises ApiError 403 unless the user may do that."""
        decision = self.authorize(user, asked)
        if not decision.allowed:
            raise forbidden(user, asked, decision.reason)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self._policy = None

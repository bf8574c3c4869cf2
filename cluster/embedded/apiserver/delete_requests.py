"""DELETE requests: options from body or query, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass

from multidict import MultiMapping

from cluster.embedded.apiserver.adapter import Adapter, parse_dry_run
from cluster.embedded.apiserver.refusals import bad_request, invalid
from cluster.embedded.apiserver.watch import is_true, number
from cluster.embedded.client import ApiError
from cluster.embedded.resources import JOBS, Object, Resource

_PROPAGATIONS = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The options of one deletion."""

    grace_period_seconds: int | None = None
    propagation: str | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    @classmethod
    def of(cls, body: Object, query: MultiMapping[str]) -> DeleteOptions:
        """The body wins over the query, as a whole. Raises ApiError 400 or 422."""
        if not body:
            body = {
                "gracePeriodSeconds": number(query, "gracePeriodSeconds"),
                "propagationPolicy": query.get("propagationPolicy"),
                "orphanDependents": is_true(query["orphanDependents"]) if "orphanDependents" in query else None,
            }
        preconditions = body.get("preconditions") or {}
        grace = body.get("gracePeriodSeconds")
        if not isinstance(preconditions, dict) or not isinstance(grace, int | None) or isinstance(grace, bool):
            raise bad_request("json: cannot unmarshal the body into Go value of type v1.DeleteOptions")
        return cls(
            grace_period_seconds=grace,
            propagation=_propagation(body),
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            dry_run=parse_dry_run([*(body.get("dryRun") or []), *query.getall("dryRun", [])]),
        )


def _propagation(body: Object) -> str | None:
    policy, orphan = body.get("propagationPolicy"), body.get("orphanDependents")
    if policy and orphan is not None:
        problem = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        raise _invalid("FieldValueInvalid", problem)
    if policy and policy not in _PROPAGATIONS:
        supported = ", ".join(f'"{p}"' for p in (*_PROPAGATIONS, "nil"))
        raise _invalid("FieldValueNotSupported", f'Unsupported value: "{policy}": supported values: {supported}')
    if orphan is not None:
        return "Orphan" if orphan else "Background"
    return policy or None


def _invalid(reason: str, problem: str) -> ApiError:
    return invalid("DeleteOptions", "meta.k8s.io", "", "propagationPolicy", reason, problem)


def deletion_warnings(resource: Resource, options: DeleteOptions) -> list[str]:
    """What a client is warned of that does not say what becomes of the pods of a Job."""
    if resource is JOBS and options.propagation is None:
        return [
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
            "them or set propagationPolicy=Orphan to suppress this warning"
        ]
    return []


def delete_one(
    adapter: Adapter, resource: Resource, namespace: str | None, name: str, options: DeleteOptions
) -> Object:
    """Delete an object; returns what a DELETE answers. Raises ApiError."""
    return adapter.delete(
        resource,
        namespace,
        name,
        grace_period_seconds=options.grace_period_seconds,
        propagation=options.propagation,
        uid=options.uid,
        resource_version=options.resource_version,
        dry_run=options.dry_run,
    )

"""Random roles, bindings, users and actions: few names, so that they meet often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cluster.embedded.apiserver.authorization.attributes import Attributes, User
from tests.cluster.authorization.naive import World

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "escalate")
GROUPS = ("", "apps")
RESOURCES = ("pods", "secrets", "deployments")
SUBRESOURCES = ("", "log", "exec", "scale")
NAMES = ("", "a", "b")
NAMESPACES = ("", "one", "two")
PATHS = ("/healthz", "/healthz/x", "/api", "/apis/apps")
USERS = ("jane", "system:serviceaccount:one:robot", "system:serviceaccount:two:robot")
USER_GROUPS = ("team", "system:authenticated", "system:serviceaccounts:one")

RESOURCE_PATTERNS = ("*", "*/scale", "*/log", *RESOURCES, "pods/log", "pods/exec", "deployments/scale", "pods/*")
URL_PATTERNS = ("*", "/healthz", "/healthz/*", "/api*", "/apis/*")


def _some(values: tuple[str, ...], *, at_least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=at_least, max_size=3, unique=True)


def _rule(kind: str, verbs: Any, groups: Any, resources: Any, names: Any, urls: Any) -> dict[str, Any]:
    if kind == "url":
        return {"verbs": verbs, "nonResourceURLs": urls}
    return {"verbs": verbs, "apiGroups": groups, "resources": resources, **({"resourceNames": names} if names else {})}


rules = st.builds(
    _rule,
    st.sampled_from(["resource", "resource", "resource", "url"]),
    _some((*VERBS, "*")),
    _some((*GROUPS, "*")),
    _some(RESOURCE_PATTERNS),
    _some(("a", "b"), at_least=0),
    _some(URL_PATTERNS),
)
subjects = st.one_of(
    st.builds(lambda name: {"kind": "User", "name": name}, st.sampled_from(USERS)),
    st.builds(lambda name: {"kind": "Group", "name": name}, st.sampled_from(USER_GROUPS)),
    st.builds(
        lambda ns: {"kind": "ServiceAccount", "name": "robot", **({"namespace": ns} if ns else {})},
        st.sampled_from(["", "one", "two"]),
    ),
)
users = st.builds(User, st.sampled_from(USERS), _some(USER_GROUPS, at_least=0).map(tuple))
actions = st.one_of(
    st.builds(
        Attributes,
        st.sampled_from(VERBS),
        st.sampled_from(GROUPS),
        st.sampled_from(RESOURCES),
        st.sampled_from(SUBRESOURCES),
        st.sampled_from(NAMES),
        st.sampled_from(NAMESPACES),
    ),
    st.builds(lambda verb, path: Attributes(verb, path=path), st.sampled_from(VERBS), st.sampled_from(PATHS)),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for name in ("r1", "r2"):
        for namespace in ("one", "two"):
            if draw(st.booleans()):
                metadata = {"name": name, "namespace": namespace}
                world.roles.append({"metadata": metadata, "rules": draw(st.lists(rules, max_size=2))})
        if draw(st.booleans()):
            world.cluster_roles.append({"metadata": {"name": name}, "rules": draw(st.lists(rules, max_size=2))})
    for number in range(draw(st.integers(0, 3))):
        metadata = {"name": f"b{number}", "namespace": draw(st.sampled_from(["one", "two"]))}
        world.role_bindings.append({"metadata": metadata, **draw(_bodies(("Role", "ClusterRole")))})
    for number in range(draw(st.integers(0, 2))):
        world.cluster_role_bindings.append({"metadata": {"name": f"c{number}"}, **draw(_bodies(("ClusterRole",)))})
    return world


def _bodies(kinds: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda kind, role, to: {"roleRef": {"kind": kind, "name": role}, "subjects": to},
        st.sampled_from(kinds),
        st.sampled_from(["r1", "r2", "gone"]),
        st.lists(subjects, max_size=2),
    )

"""Label and field selectors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.selectors import field_selector, label_selector, selector_matches
from cluster.embedded.client import ApiError
from cluster.embedded.resources import PODS

KEYS = st.sampled_from(["app", "tier", "example.com/x"])
VALUES = st.sampled_from(["a", "b", "c-1"])
LABELS = st.dictionaries(KEYS, VALUES)
OPERATORS = {
    "In": lambda key, values: f"{key} in ({','.join(values)})",
    "NotIn": lambda key, values: f"{key} notin ({','.join(values)})",
    "Exists": lambda key, values: key,
    "DoesNotExist": lambda key, values: f"!{key}",
}
TERMS = st.lists(
    st.tuples(KEYS, st.sampled_from(sorted(OPERATORS)), st.lists(VALUES, min_size=1, max_size=2)), max_size=3
)


@given(TERMS, LABELS)
def test_the_text_and_the_object_form_of_a_selector_mean_the_same(terms: Any, labels: dict[str, str]) -> None:
    text = ",".join(OPERATORS[operator](key, values) for key, operator, values in terms)
    expressions = [
        {"key": key, "operator": operator, **({"values": values} if "In" in operator else {})}
        for key, operator, values in terms
    ]
    obj = {"metadata": {"labels": labels}}
    assert label_selector(text)(obj) == selector_matches({"matchExpressions": expressions}, labels)


@given(KEYS, VALUES, LABELS)
def test_equality_and_inequality_are_opposites(key: str, value: str, labels: dict[str, str]) -> None:
    obj = {"metadata": {"labels": labels}}
    assert label_selector(f"{key}={value}")(obj) != label_selector(f"{key}!={value}")(obj)


@given(st.text(max_size=20))
def test_any_text_is_a_selector_or_a_bad_request(text: str) -> None:
    codes = set()
    for parse in (label_selector, field_selector):
        try:
            parse(text)({"metadata": {}})
        except ApiError as error:
            codes.add(error.code)
    assert codes <= {400}


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=pa", ["pa"]),
        ("metadata.name!=pa", ["pb"]),
        ("status.phase=Pending", ["pa", "pb"]),
        ("spec.nodeName=", ["pa"]),
        ("spec.nodeName!=", ["pb"]),
        ("spec.nodeName=n,metadata.namespace=system", ["pb"]),
        ("spec.hostNetwork=false", ["pa", "pb"]),
        ("status.podIP=10.0.0.1", []),
    ],
)
def test_pods_are_selected_by_fields(registry: Registry, selector: str, found: list[str]) -> None:
    for name in ("pa", "pb"):
        body = {
            "metadata": {"name": name, "namespace": "system"},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        registry.create(PODS, body)
    registry.bind("system", {"metadata": {"name": "pb"}, "target": {"name": "n"}})
    assert [pod["metadata"]["name"] for pod in registry.list(PODS, "system", fields=selector)] == found

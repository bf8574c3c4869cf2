"""Selectors in every form that Kubernetes knows."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver.selectors import field_selector, label_selector
from cluster.embedded.client import ApiError

WEB = {"metadata": {"labels": {"app": "web", "tier": "front", "x.io/y": "1"}}, "spec": {"nodeName": "n1"}}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=web,tier!=front", False),
        ("app!=db", True),
        ("missing!=db", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db,cache),tier", True),
        ("missing notin (db)", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("x.io/y in (1),app in (web,db),!z", True),
    ],
)
def test_label_selectors(selector: str, selected: bool) -> None:
    assert label_selector(selector)(WEB) is selected


@pytest.mark.parametrize("selector", ["app in web", "app in (web", "a=b=c", "=x", "app ~ web", "a b"])
def test_what_is_no_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        label_selector(selector)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "selected"),
    [("spec.nodeName=n1", True), ("spec.nodeName!=n1", False), ("spec.nodeName==n1,metadata.name=", True)],
)
def test_field_selectors(selector: str, selected: bool) -> None:
    assert field_selector(selector)(WEB) is selected


@given(st.text(max_size=30))
def test_any_text_selects_or_is_refused(text: str) -> None:
    for parse in (label_selector, field_selector):
        with suppress(ApiError):
            assert parse(text)(WEB) in (True, False)


@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")), st.sampled_from("abc"), st.sampled_from("xyz"))
def test_in_and_notin_are_opposites(labels: dict[str, str], key: str, value: str) -> None:
    obj = {"metadata": {"labels": labels}}
    assert label_selector(f"{key} in ({value})")(obj) is not label_selector(f"{key} notin ({value})")(obj)

"""Properties of the patch formats and of field ownership, for any input."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver.changes import compare
from cluster.embedded.apiserver.field_sets import difference, field_set, intersection, paths, union
from cluster.embedded.apiserver.patches import json_patch, merge_patch, strategic_merge
from cluster.embedded.apiserver.quantities import canonical, parse
from cluster.embedded.apiserver.schema import schema, type_of
from cluster.embedded.apiserver.server_side_apply import merge
from cluster.embedded.resources import DEPLOYMENTS

KEYS = st.sampled_from("abcd")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(("", "x", "y")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, JSON, max_size=4)
ENV = st.lists(
    st.fixed_dictionaries({"name": KEYS, "value": st.sampled_from("12")}), max_size=4, unique_by=lambda e: e["name"]
)
LABELS = st.dictionaries(KEYS, st.sampled_from("12"), min_size=1, max_size=3)
CONTAINER = schema().of("v1", "Pod").child("spec").child("containers").element


def deployment(env: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "env": env}
    return {"metadata": {"labels": labels}, "spec": {"template": {"spec": {"containers": [container]}}}}


@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_is_idempotent_and_changes_no_argument(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    once = merge_patch.apply(target, patch)
    assert merge_patch.apply(once, patch) == once
    assert (target, patch) == before


@given(DOCUMENTS, DOCUMENTS)
def test_a_json_patch_made_from_two_documents_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    operations = jsonpatch.make_patch(old, new).patch
    assert json_patch.apply(copy.deepcopy(old), operations) == new


@given(ENV, ENV)
def test_a_strategic_merge_keeps_every_entry_once_and_takes_the_patch(old: Any, patch: Any) -> None:
    assert CONTAINER is not None
    target = {"name": "c", "env": old}
    before = copy.deepcopy(target)
    merged = strategic_merge.apply(target, {"env": patch}, CONTAINER)["env"]
    names = [entry["name"] for entry in merged]
    assert sorted(names) == sorted({e["name"] for e in (*old, *patch)})
    assert all(entry in merged for entry in patch)
    untouched = [e["name"] for e in old if e["name"] not in {p["name"] for p in patch}]
    assert [name for name in names if name in untouched] == untouched
    assert target == before


@given(ENV, ENV)
def test_set_element_order_decides_the_order(old: Any, new: Any) -> None:
    """What kubectl sends: all wanted entries, their order, and a deletion of each other one."""
    assert CONTAINER is not None
    order = [{"name": e["name"]} for e in new]
    gone = [{"$patch": "delete", "name": e["name"]} for e in old if e["name"] not in {n["name"] for n in new}]
    patch = {"env": [*new, *gone], "$setElementOrder/env": order}
    merged = strategic_merge.apply({"name": "c", "env": old or [{"name": "z"}]}, patch, CONTAINER)
    assert [e for e in merged["env"] if e["name"] != "z"] == new


@given(ENV, LABELS, ENV, LABELS)
def test_merging_a_configuration_gives_all_that_it_states(old: Any, old_labels: Any, new: Any, new_labels: Any) -> None:
    type_ = type_of(DEPLOYMENTS)
    live, config = deployment(old, old_labels), deployment(new, new_labels)
    merged = merge(type_, live, config)
    assert merge(type_, merged, config) == merged
    stated, now = field_set(type_, config), field_set(type_, merged)
    assert paths(difference(stated, now)) == []


@given(ENV, LABELS, ENV, LABELS)
def test_changes_account_for_every_difference(old: Any, old_labels: Any, new: Any, new_labels: Any) -> None:
    type_ = type_of(DEPLOYMENTS)
    before, after = deployment(old, old_labels), deployment(new, new_labels)
    changes = compare(type_, before, after)
    appeared = difference(field_set(type_, after), field_set(type_, before))
    vanished = difference(field_set(type_, before), field_set(type_, after))
    assert paths(difference(appeared, changes.set)) == []
    assert paths(difference(vanished, changes.removed)) == []
    if before == after:
        assert (changes.set, changes.removed) == ({}, {})


@given(ENV, LABELS, ENV, LABELS)
def test_field_sets_obey_the_laws_of_sets(old: Any, old_labels: Any, new: Any, new_labels: Any) -> None:
    type_ = type_of(DEPLOYMENTS)
    left, right = field_set(type_, deployment(old, old_labels)), field_set(type_, deployment(new, new_labels))
    ours, theirs = set(paths(left)), set(paths(right))
    assert set(paths(union(left, right))) == ours | theirs
    assert set(paths(difference(left, right))) == ours - theirs
    assert set(paths(intersection(left, right))) == ours & theirs


@given(st.integers(0, 10**15), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_a_quantity_keeps_its_value_in_the_spelling_of_the_server(number: int, suffix: str) -> None:
    spelled = canonical(f"{number}{suffix}")
    assert parse(spelled) == parse(f"{number}{suffix}")
    assert canonical(spelled) == spelled

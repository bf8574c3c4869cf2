"""The store lists in the order of keys, and an informer's indexes say what a search through all objects would say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.informer import Informer
from cluster.embedded.resources import PODS
from cluster.embedded.store import AlreadyExists, NotFound, Store

KEYS = st.tuples(st.sampled_from(("a", "a-b", "b")), st.sampled_from(("x", "x-1", "x.1", "y")))


def pod(key: tuple[str, str], node: str = "") -> Any:
    return {"metadata": {"namespace": key[0], "name": key[1]}, "spec": {"nodeName": node}}


@given(st.lists(st.tuples(st.sampled_from(("create", "update", "delete")), KEYS), max_size=40))
def test_the_store_lists_as_if_it_sorted_every_time(steps: list[tuple[str, tuple[str, str]]]) -> None:
    store, model = Store(), set[tuple[str, str]]()
    for verb, key in steps:
        try:
            if verb == "delete":
                store.delete(PODS, *key)
                model.remove(key)
            else:
                getattr(store, verb)(PODS, pod(key))
                model.add(key)
        except (NotFound, AlreadyExists):
            assert (key in model) == (verb == "create")
        listed = [(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in store.list(PODS)]
        assert listed == sorted(model)
        in_a = [obj["metadata"]["name"] for obj in store.list(PODS, "a")]
        assert in_a == sorted(name for namespace, name in model if namespace == "a")


@given(
    st.lists(
        st.tuples(st.sampled_from(("ADDED", "MODIFIED", "DELETED", "LISTED")), KEYS, st.sampled_from(("", "n", "m"))),
        max_size=40,
    )
)
def test_an_index_finds_what_a_search_would_find(steps: list[tuple[str, tuple[str, str], str]]) -> None:
    def node_of(obj: Any) -> str:
        return str(obj["spec"]["nodeName"])

    informer = Informer(None, PODS)  # type: ignore[arg-type]  # it is fed by hand
    early = informer.index(node_of)
    for kind, key, node in steps:
        if kind == "LISTED":
            informer._replace([pod(key, node)])
        else:
            informer._apply(kind, pod(key, node))
        late = Informer.index(informer, lambda obj: obj["spec"]["nodeName"])
        for index in (early, late):
            for value in ("", "n", "m"):
                wanted = [obj for obj in informer.objects.values() if node_of(obj) == value]
                assert sorted(index.of(value), key=str) == sorted(wanted, key=str)
                assert index.count(value) == len(wanted)
        names = [obj["metadata"]["name"] for obj in informer.in_namespace("a")]
        assert sorted(names) == sorted(name for namespace, name in informer.objects if namespace == "a")

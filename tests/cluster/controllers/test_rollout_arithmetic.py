"""The steps of a rollout keep within its bounds, whatever the pods do."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.controllers.rollout import (
    Replicas,
    bounds,
    grow_new,
    int_or_percent,
    scale_proportionally,
    shrink_old,
    template_hash,
)


@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 4),
    unavailable=st.integers(0, 4),
    seed=st.integers(0, 10_000),
)
def test_a_rollout_reaches_its_end_within_its_bounds(replicas: int, surge: int, unavailable: int, seed: int) -> None:
    rng = random.Random(seed)
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    max_surge, max_unavailable = bounds(strategy, replicas)
    old_spec, old_available, new_spec, new_available = replicas, replicas, 0, 0
    for _ in range(500):
        new = Replicas("new", new_spec, new_spec, new_available)
        olds = [Replicas("old", old_spec, old_spec, old_available)]
        new_spec = grow_new(new, olds, replicas, max_surge)
        old_spec = shrink_old(Replicas("new", new_spec, new_spec, new_available), olds, replicas, max_unavailable).get(
            "old", old_spec
        )
        old_available = min(old_available, old_spec)
        assert new_spec + old_spec <= replicas + max_surge
        assert new_available + old_available >= replicas - max_unavailable
        if rng.random() < 0.7:
            new_available = min(new_spec, new_available + 1)
        if (new_spec, new_available, old_spec) == (replicas, replicas, 0):
            return
    raise AssertionError("the rollout never ended")


def test_percentages_round_as_kubernetes_rounds_them() -> None:
    assert int_or_percent("25%", 3, round_up=True) == 1
    assert int_or_percent("25%", 3, round_up=False) == 0
    assert bounds({}, 3) == (1, 0)
    assert bounds({}, 4) == (1, 1)
    assert bounds({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}, 3) == (0, 1)
    assert bounds({"type": "Recreate"}, 3) == (0, 3)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=4), st.integers(0, 40))
def test_a_changed_size_is_spread_without_loss(sizes: list[int], allowed: int) -> None:
    sets = [Replicas(f"rs-{n}", size, size, size) for n, size in enumerate(sizes)]
    result = scale_proportionally(sets, allowed)
    if result:
        assert sum(result.values()) == allowed
        assert all(count >= 0 for count in result.values())


def test_equal_templates_have_equal_hashes_and_others_do_not() -> None:
    assert template_hash({"a": 1, "b": 2}) == template_hash({"b": 2, "a": 1})
    assert template_hash({"a": 1}) != template_hash({"a": 2})

"""The arithmetic of rollouts keeps within its bounds, whatever the pods do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.embedded.controllers.rollout import Bounds, Size, bounds_of, grown, proportional, scaled, shrunk
from cluster.embedded.controllers.templates import same_template, template_hash
from tests.cluster.controllers.world import deployment, rolling


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (3, "25%", "25%", (1, 0)),
        (5, "25%", "25%", (2, 1)),
        (10, "25%", "25%", (3, 2)),
        (3, 1, 0, (1, 0)),
        (3, 0, 1, (0, 1)),
        (3, 0, 0, (0, 1)),
        (1, "10%", "90%", (1, 0)),
        (2, 0, 5, (0, 2)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_percentages_of_surge_round_up_and_of_unavailability_down(
    replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]
) -> None:
    bounds = bounds_of(deployment(replicas=replicas, strategy=rolling(surge, unavailable)))
    assert (bounds.max_surge, bounds.max_unavailable) == expected


def test_scaled_reads_numbers_and_percentages() -> None:
    assert scaled(2, 10, up=True) == 2
    assert scaled("25%", 3, up=True) == 1
    assert scaled("25%", 3, up=False) == 0


class _Pods:
    """One ReplicaSet whose pods become ready and fail at random."""

    def __init__(self, name: str, replicas: int, ready: int) -> None:
        self.name, self.replicas, self.ready = name, replicas, ready

    def resize(self, replicas: int) -> None:
        """Not ready pods go first, as the ReplicaSet controller sees to."""
        self.replicas, self.ready = replicas, min(self.ready, replicas)

    def size(self, order: int) -> Size:
        return Size(self.name, self.replicas, self.ready, created=f"{order}")


_CHAOS = st.lists(st.tuples(st.sampled_from(["ready", "fail", "step"]), st.integers(0, 3)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 8), st.integers(0, 4), st.integers(0, 8), st.integers(1, 3), _CHAOS)
def test_a_rollout_keeps_its_bounds_and_ends(
    replicas: int, surge: int, unavailable: int, old_sets: int, chaos: list[tuple[str, int]]
) -> None:
    strategy = rolling(surge, unavailable if surge or unavailable else 1)
    bounds = bounds_of(deployment(replicas=replicas, strategy=strategy))
    olds = [_Pods(f"old{number}", 0, 0) for number in range(old_sets)]
    olds[0].resize(replicas)
    olds[0].ready = replicas
    new = _Pods("new", 0, 0)
    everyone = [*olds, new]

    def step() -> bool:
        """What the controller does in one reconcile; the pods never take availability below what it found."""
        before = sum(item.ready for item in everyone)
        target = grown(bounds, new.size(9), sum(item.replicas for item in everyone))
        changed = target != new.replicas
        if changed:
            new.resize(target)
        else:
            targets = shrunk(bounds, new.size(9), [item.size(n) for n, item in enumerate(olds)])
            changed = bool(targets)
            for item in olds:
                item.resize(targets.get(item.name, item.replicas))
        assert sum(item.replicas for item in everyone) <= bounds.max_total
        assert sum(item.ready for item in everyone) >= min(before, bounds.min_available)
        return changed

    for kind, which in chaos:
        item = everyone[which % len(everyone)]
        if kind == "step":
            step()
        elif kind == "ready":
            item.ready = min(item.replicas, item.ready + 1)
        else:
            item.ready = max(0, item.ready - 1)
    for _ in range(200):
        for item in everyone:
            item.ready = item.replicas
        if not step():
            break
    assert new.replicas == replicas
    assert all(item.replicas == 0 for item in olds)


def test_a_status_that_lags_behind_a_scale_down_does_not_count_twice() -> None:
    first = Size("first", 1, available=2, created="1")  # was just scaled from 2 to 1
    second = Size("second", 1, available=0, created="2")
    assert shrunk(Bounds(2, 1, 1), Size("new", 1), [first, second]) == {"second": 0}


@given(
    st.integers(0, 12),
    st.integers(0, 4),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.integers(1, 20),
)
def test_proportional_scaling_hands_out_exactly_what_is_allowed(
    replicas: int, surge: int, sizes: list[int], former: int
) -> None:
    bounds = Bounds(replicas, surge, 0)
    known = [Size(f"rs{n}", size, created=str(n), max_replicas=former) for n, size in enumerate(sizes)]
    targets = proportional(bounds, known, former)
    allowed = bounds.max_total if replicas else 0
    assert all(target >= 0 for target in targets.values())
    if allowed >= sum(sizes):
        assert sum(targets.values()) == allowed
        assert all(targets[size.name] >= size.replicas for size in known)
    else:
        assert allowed <= sum(targets.values()) < sum(sizes) or allowed == 0
        assert all(targets[size.name] <= size.replicas for size in known)


def test_growing_is_shared_out_by_size() -> None:
    known = [Size("old", 4, created="1", max_replicas=6), Size("new", 2, created="2", max_replicas=6)]
    assert proportional(Bounds(8, 2, 0), known, 6) == {"old": 7, "new": 3}


def test_the_hash_is_valid_stable_and_blind_to_what_does_not_matter() -> None:
    template = deployment()["spec"]["template"]
    noted = {**template, "metadata": {"creationTimestamp": None, "labels": {"app": "web"}}}
    hashed = {**template, "metadata": {"labels": {"app": "web", "pod-template-hash": "abc"}}}
    assert template_hash(template) == template_hash(noted) == template_hash(hashed)
    assert same_template(template, hashed)
    assert template_hash(template) != template_hash(template, 1)
    assert template_hash(template) != template_hash(deployment(image="v2")["spec"]["template"])
    assert set(template_hash(template)) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert 1 <= len(template_hash(template)) <= 10

"""The schedule is a pure function of the profile."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import InputError
from load.arrivals import arrivals
from load.profile import LoadProfile


@given(st.integers(), st.sampled_from(["steady", "poisson"]))
def test_the_same_seed_gives_the_same_schedule(seed: int, kind: str) -> None:
    profile = LoadProfile.model_validate({"seed": seed, "arrivals": kind})
    assert list(islice(arrivals(profile), 50)) == list(islice(arrivals(profile), 50))


@given(st.floats(0.5, 500), st.integers(0, 2**32))
def test_arrivals_come_in_order_and_at_the_offered_rate(rate: float, seed: int) -> None:
    offsets = [a.offset_seconds for a in islice(arrivals(LoadProfile(rate_per_second=rate, seed=seed)), 2_000)]
    assert offsets == sorted(offsets)
    assert len(offsets) / offsets[-1] == pytest.approx(rate, rel=0.15)


def test_a_broken_profile_names_the_file_and_the_key(tmp_path: Path) -> None:
    path = tmp_path / "load.yaml"
    path.write_text("rate_per_second: -1")
    with pytest.raises(InputError, match=r"load\.yaml: rate_per_second"):
        LoadProfile.load(path)

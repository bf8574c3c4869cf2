"""Every API recording, replayed: one test each. Off by default, as ``make conformance`` replays them in parallel."""

from __future__ import annotations

import pytest

from tests.conformance.known import worse
from tests.conformance.recordings import Flow, flows
from tests.conformance.suite import replay_flow


@pytest.fixture
def kubeconfig(request: pytest.FixtureRequest) -> str:
    """The cluster to replay against; "" for embedded ones."""
    given = str(request.config.getoption("--kubeconfig"))
    if not given and not request.config.getoption("--replay"):
        pytest.skip("run `make conformance`, or give --replay, or --kubeconfig PATH for another cluster")
    return given


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flow", flows("api"), ids=lambda flow: flow.name)
def test_a_recording_is_as_equal_as_it_is_known_to_be(flow: Flow, kubeconfig: str) -> None:
    for result in replay_flow(flow, kubeconfig):
        assert not worse([result]), "\n".join(result.details)

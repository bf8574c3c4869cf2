"""What Helm stored is read back: values, chart, and nothing outside of the chart's folder."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from helm_python import Chart
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.errors import OperationFailed
from clients.helm_release import decode, merge_values, set_value, write_chart

TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec: {replicas: {{ .Values.replicaCount }}, memory: {{ .Values.resources.limits.memory }}}
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def release(**changes):
    stored = {
        "name": "llm",
        "version": 3,
        "info": {"status": "deployed", "description": "Upgrade complete", "last_deployed": "2026-01-01T00:00:00Z"},
        "config": {"replicaCount": 3},
        "manifest": "kind: Deployment",
        "chart": {
            "metadata": {"name": "vllm-deployment", "version": "0.1.0", "apiVersion": "v2"},
            "values": {"replicaCount": 1, "resources": {"limits": {"memory": "64Mi", "cpu": 1}}},
            "templates": [{"name": "templates/deployment.yaml", "data": encoded(TEMPLATE)}],
            "files": [{"name": "docs/README.md", "data": encoded("hello")}],
        },
    }
    return {**stored, **changes}


def secret(content):
    packed = base64.b64encode(gzip.compress(json.dumps(content).encode()))
    return {
        "metadata": {"name": "sh.helm.release.v1.llm.v3"},
        "data": {"release": base64.b64encode(packed).decode()},
    }


def test_a_release_secret_is_decoded():
    stored = decode(secret(release()))
    assert (stored.name, stored.revision, stored.status) == ("llm", 3, "deployed")
    assert stored.chart_label == "vllm-deployment-0.1.0"
    assert stored.computed_values == {"replicaCount": 3, "resources": {"limits": {"memory": "64Mi", "cpu": 1}}}


def test_the_stored_chart_renders_with_the_real_engine(tmp_path):
    stored = decode(secret(release()))
    path = write_chart(stored, tmp_path)
    values = set_value(stored.user_values, "resources.limits.memory", "128Mi")
    with Chart.load(path) as chart:
        (manifest,) = (text for name, text in chart.render(values, name="llm").items() if "deployment" in name)
    assert "replicas: 3" in manifest
    assert "memory: 128Mi" in manifest
    assert (path / "docs" / "README.md").read_text() == "hello"


def test_a_chart_with_subcharts_cannot_be_restored(tmp_path):
    chart = release()["chart"]
    chart["metadata"]["dependencies"] = [{"name": "redis"}]
    with pytest.raises(OperationFailed, match="--chart PATH"):
        write_chart(decode(secret(release(chart=chart))), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "templates/../../evil"])
def test_a_stored_chart_cannot_write_outside_of_its_folder(tmp_path, name):
    chart = release()["chart"]
    chart["files"] = [{"name": name, "data": encoded("x")}]
    with pytest.raises(OperationFailed, match="outside of itself"):
        write_chart(decode(secret(release(chart=chart))), tmp_path)


@pytest.mark.parametrize("data", [{}, {"release": "???"}, {"release": base64.b64encode(b"e30=").decode()}])
def test_a_secret_that_holds_no_release_is_named(data):
    with pytest.raises(OperationFailed, match=r"Secret sh\.helm"):
        decode({"metadata": {"name": "sh.helm.x"}, "data": data})


def test_setting_one_value_keeps_all_others():
    values = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert set_value(values, "a.b", 9) == {"a": {"b": 9, "c": 2}, "d": [1]}
    assert set_value(values, "x.y.z", 1) == {**values, "x": {"y": {"z": 1}}}
    assert values["a"] == {"b": 1, "c": 2}


keys = st.sampled_from("abc")
leaves = st.integers(0, 9) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
trees = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
maps = st.dictionaries(keys, trees, max_size=3)


def same_shape(a, b):
    """Helm warns about and ignores a table over a scalar; only compatible overrides are compared."""
    return all(
        isinstance(a[k], dict) == isinstance(b[k], dict) and (not isinstance(a[k], dict) or same_shape(a[k], b[k]))
        for k in a.keys() & b.keys()
    )


@pytest.fixture(scope="module")
def chart_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("charts")


@given(maps, maps)
@settings(max_examples=100, deadline=None)
def test_values_are_merged_as_the_real_engine_merges_them(chart_folder, defaults, overrides):
    if not same_shape(defaults, overrides):
        return
    content = release(chart={**release()["chart"], "values": defaults, "templates": []})
    with Chart.load(write_chart(decode(secret(content)), chart_folder)) as chart:
        assert merge_values(defaults, overrides) == chart.merge_values(overrides)


def test_strings_that_look_like_booleans_stay_strings(tmp_path):
    values = {"flags": ["Y", "no", "on", "1e3", "0x1F", "null", "~"]}
    content = release(chart={**release()["chart"], "values": values, "templates": []})
    with Chart.load(write_chart(decode(secret(content)), tmp_path)) as chart:
        assert chart.values == values


def test_null_removes_a_default():
    assert merge_values({"a": 1, "b": {"c": 1, "d": 2}}, {"a": None, "b": {"c": None}}) == {"b": {"d": 2}}

"""Command lines, variables, prompts and answers: the parts that need no process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import InputError
from services.mock_vllm.engine import FinishReason
from services.mock_vllm.flags import INERT_SWITCHES, INERT_VALUE_FLAGS
from services.mock_vllm.options import Options, parse_command_line
from services.mock_vllm.quantity import parse_bytes
from services.mock_vllm.settings import Settings, read_settings
from services.mock_vllm.text import Answer, AnswerLimits, count_tokens

SERVICES = Path(__file__).parents[3] / "services"


def options(*words: str, **environ: str) -> Options:
    return parse_command_line(words, Settings(max_num_seqs=7), environ)


def test_the_defaults_are_vllms():
    parsed = options("serve", "m")
    assert (parsed.host, parsed.port, parsed.served_model_names) == ("0.0.0.0", 8000, ("m",))
    assert parsed.shutdown_timeout_seconds == 0
    assert parsed.max_num_queued_reqs is None


def test_variables_give_defaults_that_flags_override():
    assert options("serve", "m").max_num_seqs == 7
    assert options("serve", "m", "--max-num-seqs", "3").max_num_seqs == 3
    assert options("serve", "m", VLLM_API_KEY="k").api_keys == ("k",)
    assert options("serve", "m", "--api-key", "a", "b", VLLM_API_KEY="k").api_keys == ("a", "b")


@pytest.mark.parametrize(
    ("text", "tokens"), [("4096", 4096), ("1k", 1000), ("2K", 2048), ("1.5k", 1500), ("auto", 4096)]
)
def test_lengths_are_written_for_people(text, tokens):
    assert options("--model=m", f"--max-model-len={text}").max_model_len == tokens


@pytest.mark.parametrize("flag", INERT_VALUE_FLAGS)
def test_every_inert_flag_takes_a_value(flag):
    assert options("serve", "m", f"--{flag}", "1").model == "m"


@pytest.mark.parametrize("flag", INERT_SWITCHES)
def test_every_inert_switch_can_be_turned_on_and_off(flag):
    assert options("serve", "m", f"--{flag}", f"--no-{flag}").model == "m"


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "m", "extra"),
        ("serve", "m", "--port=http"),
        ("serve", "m", "--gpu-memory-utilization=2"),
        ("serve", "m", "--max-model-len=much"),
        ("serve", "m", "--max-num"),
        ("--custom-histogram-buckets={}x",),
        ('--custom-histogram-buckets={"ttft": [1]}',),
        ('--custom-histogram-buckets={"request_latency": [2, 1]}',),
        ("--config=/nonexistent.yaml",),
    ],
)
def test_wrong_words_end_with_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        options(*words)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_config_file_gives_defaults_that_words_override(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("max-model-len: 2k\nmax_num_seqs: 5\nserved-model-name: [a, b]\nenforce-eager: true\n")
    parsed = options("serve", "m", "--config", str(file), "--max-num-seqs=6")
    assert (parsed.max_model_len, parsed.max_num_seqs, parsed.served_model_names) == (2000, 6, ("a", "b"))


@pytest.mark.parametrize("text", ["[1]", "a: [", "frobnicate: 1"])
def test_a_wrong_config_file_ends_with_exit_code_2_and_is_named(tmp_path, capsys, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        options("serve", "m", f"--config={file}")
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "amount"),
    [("96Mi", 96 * 2**20), ("1.5Gi", 3 * 2**29), ("64M", 64 * 10**6), ("12", 12), (" 1k ", 1000)],
)
def test_quantities_are_kubernetes(text, amount):
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "Mi", "-1Mi", "1mi", "1 Mi", "1e3"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOAD_SECONDS", "-1"),
        ("LOAD_SECONDS", "inf"),
        ("TOKENS_PER_SECOND", "0"),
        ("TOKENS_PER_SECOND", "nan"),
        ("KV_CACHE_TOKENS", "many"),
        ("READY_ENDPOINT", "maybe"),
        ("ADMIN_PORT", "70000"),
        ("FAULTS", "{"),
    ],
)
def test_a_wrong_variable_is_named(name, value):
    with pytest.raises(InputError):
        read_settings({f"MOCK_VLLM_{name}": value})


def test_the_pod_gives_its_name_and_address():
    settings = read_settings({"POD_NAME": "pod-b", "POD_IP": "127.16.128.9", "MOCK_VLLM_WEIGHTS": ""})
    assert (settings.served_by, settings.admin_address, settings.weights_bytes) == ("pod-b", "127.16.128.9", 0)


@given(st.text(max_size=20), st.integers(1, 200), st.integers(0, 50), st.booleans())
def test_an_answer_is_the_same_whole_and_in_pieces(key, max_tokens, min_tokens, ignore_eos):
    limits = AnswerLimits(max_tokens, min_tokens, ignore_eos)
    whole, pieces = Answer(key, limits, 48), Answer(key, limits, 48)
    end = whole.planned_tokens
    assert whole.text(end) == "".join(pieces.text(index + 1, index) for index in range(end))
    assert 1 <= end <= max_tokens
    assert (whole.planned_finish is FinishReason.LENGTH) <= (end == max_tokens)


@given(st.integers(0, 1000), st.lists(st.sampled_from(["the", "ea", " a", "s t", "streams while", "zzz"]), min_size=1))
def test_a_stop_string_is_never_part_of_the_answer(seed, stop):
    free = Answer(str(seed), AnswerLimits(60, ignore_eos=True), 48)
    stopped = Answer(str(seed), AnswerLimits(60, ignore_eos=True, stop=tuple(stop)), 48)
    text = stopped.text(stopped.planned_tokens)
    assert not any(word in text for word in stop)
    assert free.text(60).startswith(text)
    assert (stopped.stop_reason in stop) == (text != free.text(60))


@given(st.text(max_size=100))
def test_a_prompt_has_at_least_one_token(text):
    assert count_tokens(text) >= 1


def test_the_images_row_names_existing_programs():
    rows = yaml.safe_load((SERVICES / "images.yaml").read_text())["images"]
    (row,) = [row for row in rows if row["repository"] == "vllm/vllm-openai"]
    for program in ("vllm", "nvidia-smi"):
        assert os.access(SERVICES / row["bin"] / program, os.X_OK)
    assert (SERVICES / row["python"] / "vllm" / "entrypoints" / "openai" / "api_server.py").exists()

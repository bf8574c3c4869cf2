"""The scheduler in injected time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mock_vllm.engine import BLOCK_TOKENS, Engine, EngineLimits, FinishReason, QueueFull, Sequence


def an_engine(**changes: object) -> Engine:
    limits: dict[str, object] = {
        "max_num_seqs": 4,
        "kv_cache_tokens": 1600,
        "tokens_per_second": 100.0,
        "prefill_tokens_per_second": 1000.0,
        "time_to_first_token_seconds": 0.03,
    }
    return Engine(EngineLimits(**{**limits, **changes}))  # type: ignore[arg-type]  # the tests' keywords are the fields


def a_sequence(prompt: int = 10, answer: int = 5) -> Sequence:
    return Sequence(prompt, answer, FinishReason.LENGTH)


def run(engine: Engine, until: float = 1e9) -> float:
    """Make the steps that are due until a time; returns that of the last one."""
    now = 0.0
    for _ in range(100_000):
        due = engine.next_step_at()
        if due is None or due > until:
            return now
        now = due
        engine.step(now)
    raise AssertionError("the engine does not come to an end")


def test_the_first_token_takes_the_fixed_part_and_the_prompts_prefill():
    engine, sequence = an_engine(), a_sequence(prompt=20)
    engine.submit(sequence, 0.0)
    run(engine)
    assert sequence.first_token_at == pytest.approx(0.03 + 20 / 1000)


def test_tokens_come_at_the_configured_rate():
    engine, sequence = an_engine(), a_sequence(answer=51)
    engine.submit(sequence, 0.0)
    run(engine)
    assert sequence.last_token_at - sequence.first_token_at == pytest.approx(50 / 100)
    assert (sequence.generated, sequence.finish_reason) == (51, FinishReason.LENGTH)


def test_one_step_serves_all_running_sequences():
    engine = an_engine()
    sequences = [a_sequence(answer=10) for _ in range(4)]
    for sequence in sequences:
        engine.submit(sequence, 0.0)
    steps = 0
    while (due := engine.next_step_at()) is not None:
        engine.step(due)
        steps += 1
    assert steps <= 10 + 4
    assert all(sequence.generated == 10 for sequence in sequences)


def test_late_timers_do_not_slow_the_rate():
    engine, sequence = an_engine(), a_sequence(answer=101)
    engine.submit(sequence, 0.0)
    while (due := engine.next_step_at()) is not None:
        engine.step(due + 0.004)
    assert sequence.last_token_at - sequence.first_token_at == pytest.approx(1.0, abs=0.01)


def test_what_does_not_fit_waits_in_order():
    engine = an_engine(max_num_seqs=2)
    sequences = [a_sequence() for _ in range(5)]
    for sequence in sequences:
        engine.submit(sequence, 0.0)
    assert (len(engine.running), len(engine.waiting)) == (2, 3)
    run(engine)
    starts = [sequence.admitted_at for sequence in sequences]
    assert starts == sorted(starts)
    assert starts[0] == 0.0
    assert starts[2] > 0.0


def test_prompts_are_taken_in_one_after_another():
    engine = an_engine()
    sequences = [a_sequence(prompt=100) for _ in range(3)]
    for sequence in sequences:
        engine.submit(sequence, 0.0)
    run(engine)
    assert [round(sequence.first_token_at, 3) for sequence in sequences] == [0.13, 0.23, 0.33]


def test_a_full_kv_cache_preempts_the_youngest_which_finishes_later():
    engine = an_engine(kv_cache_tokens=8 * BLOCK_TOKENS)
    old, young = a_sequence(prompt=40, answer=60), a_sequence(prompt=40, answer=60)
    engine.submit(old, 0.0)
    engine.submit(young, 0.0)
    run(engine)
    assert (old.preemptions, young.preemptions) == (0, 1)
    assert old.finished_at < young.finished_at
    assert (old.generated, young.generated) == (60, 60)
    assert engine.kv_cache_usage == 0


def test_a_slowdown_stretches_prefill_and_decoding():
    engine, sequence = an_engine(), a_sequence(prompt=20, answer=11)
    engine.slowdown = 3.0
    engine.submit(sequence, 0.0)
    run(engine)
    assert sequence.first_token_at == pytest.approx(3 * 0.05)
    assert sequence.finished_at == pytest.approx(3 * 0.05 + 3 * 0.1)


def test_an_aborted_sequence_frees_its_place_and_its_blocks():
    engine = an_engine(max_num_seqs=1)
    first, second = a_sequence(), a_sequence()
    engine.submit(first, 0.0)
    engine.submit(second, 0.0)
    assert engine.abort(first, 0.01)
    assert not engine.abort(first, 0.02)
    assert first.finish_reason is FinishReason.ABORT
    assert engine.running == [second]
    run(engine)
    assert engine.kv_cache_usage == 0


@pytest.mark.parametrize(("limit", "value"), [("max_num_queued_reqs", 1), ("max_num_queued_tokens", 15)])
def test_a_full_queue_turns_requests_away(limit, value):
    engine = an_engine(max_num_seqs=1, **{limit: value})
    engine.check_room(10_000)
    for _ in range(2):
        engine.submit(a_sequence(), 0.0)
    with pytest.raises(QueueFull) as refusal:
        engine.check_room(10)
    assert refusal.value.limit == limit


@given(
    requests=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60), st.floats(0, 2)), min_size=1, max_size=25),
    places=st.integers(1, 6),
    blocks=st.integers(8, 20),
    aborted=st.sets(st.integers(0, 24)),
)
def test_every_sequence_ends_and_all_blocks_return(requests, places, blocks, aborted):
    engine = an_engine(max_num_seqs=places, kv_cache_tokens=blocks * BLOCK_TOKENS)
    sequences = []
    for index, (prompt, answer, arrival) in enumerate(sorted(requests, key=lambda request: request[2])):
        run(engine, until=arrival)
        sequences.append(a_sequence(prompt, answer))
        engine.submit(sequences[-1], arrival)
        assert len(engine.running) <= places
        assert 0 <= engine.kv_cache_usage <= 1
        if index in aborted:
            engine.abort(sequences[-1], arrival)
    run(engine)
    for sequence in sequences:
        wanted = sequence.planned_tokens if sequence.finish_reason is FinishReason.LENGTH else sequence.generated
        assert sequence.finish_reason in (FinishReason.LENGTH, FinishReason.ABORT)
        assert sequence.generated == wanted
        assert sequence.blocks == 0
    assert engine.kv_cache_usage == 0
    assert not engine.waiting

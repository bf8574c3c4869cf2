"""The table that the benchmarks print."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import BENCHMARKS, main, report
from benchmarks.result import Benchmark, Outcome, Result, Target
from benchmarks.table import HEADINGS, number, pipe_table, row


def _outcome(result: Result) -> Outcome:
    return Outcome(Benchmark("demo", "something", 3, lambda _: [result]), (result,), 0.5, 1.25)


def _cells(result: Result) -> dict[str, str]:
    return dict(zip(HEADINGS, row(_outcome(result), result), strict=True))


def test_a_row_tells_median_spread_target_verdict_ratios_and_how_to_repeat_it() -> None:
    cells = _cells(Result("start", "s", (0.4, 0.2, 0.9), Target("under", 0.5), 4.0, "of the real one"))
    assert cells == {
        "Benchmark": "start",
        "Measured (median)": "0.400 s",
        "Runs (min–max)": "3 (0.200–0.900)",
        "Target": "under 0.5 s",
        "Verdict": "met",
        "Of target": "0.80×",
        "Of reference": "0.10× of the real one",
        "Load average": "0.5 → 1.2",
        "Reproduce": "`python -m benchmarks demo`",
    }


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target("under", 0.5), 0.5, "MISSED"),
        (Target("under", 0.5), 0.499, "met"),
        (Target("at least", 99), 99.0, "met"),
        (Target("at least", 99), 98.999, "MISSED"),
        (None, 1.0, "–"),
    ],
)
def test_the_verdict_keeps_the_bound_exactly(target: Target | None, value: float, verdict: str) -> None:
    assert _cells(Result("x", "s", (value,), target))["Verdict"] == verdict


def test_the_median_is_judged_and_not_the_best_run() -> None:
    assert _cells(Result("x", "s", (0.1, 0.6, 0.7), Target("under", 0.5)))["Verdict"] == "MISSED"


def test_a_table_is_aligned_and_escapes_pipes() -> None:
    assert pipe_table(("a", "b"), [("1|2", "long text")]) == (
        "| a    | b         |\n|------|-----------|\n| 1\\|2 | long text |"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (100, "100"), (0.39512, "0.395"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (99.9, "99.9")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_miss_is_not_rounded_to_the_target() -> None:
    cells = _cells(Result("x", "%", (98.996,), Target("at least", 99)))
    assert (cells["Measured (median)"], cells["Verdict"]) == ("98.996 %", "MISSED")
    assert _cells(Result("x", "s", (24.048,), Target("under", 60)))["Measured (median)"] == "24.0 s"


def test_a_report_names_findings_and_what_could_not_be_measured() -> None:
    text = report([_outcome(Result("x", "s", (1.0,), details=("a finding",)))], ["other could not be measured: why"])
    assert "- **demo**: something\n  - x: a finding" in text
    assert "**other could not be measured: why**" in text
    assert "CPUs" in text


def test_an_unknown_name_ends_with_code_2_and_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "nonsense" in message
    assert all(name in message for name in BENCHMARKS)

"""Traceability: which demand of the runbook is proven by which feature, experiment, cause and test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gameday.causes import known_causes
from gameday.extensions import ROOT, feature_folders
from gameday.gherkin import Case, ReadFeature, read_feature
from gameday.lint.features import CAUSE, EXPERIMENT
from gameday.marks import runbook_marks
from gameday.runbook_ids import RunbookId, claimed_id, load_ids

NOT_COVERED = "not covered"


@dataclass(frozen=True, slots=True)
class Row:
    """One demand of the runbook and what covers it.

    Attributes:
        depth: 0 for a section of the runbook, 1 for what it demands, 2 for a variant.
        features: ``file`` or ``file: scenario``, of features that claim it.
        causes: ``family: cause`` of those that these features demand the remediation's rules to find.
        tests: ``path::test`` of tests that claim it.
        covered: how many of its parts are covered; 0 or 1 where it has none.
        parts: how many parts there are; 1 where it has none.
    """

    depth: int
    id: str
    title: str
    features: tuple[str, ...]
    experiments: tuple[str, ...]
    causes: tuple[str, ...]
    tests: tuple[str, ...]
    covered: int
    parts: int

    @property
    def status(self) -> str:
        """In words."""
        if self.parts == 1:
            return "covered" if self.covered else NOT_COVERED
        return "covered" if self.covered == self.parts else f"{self.covered} of {self.parts} covered"


@dataclass(frozen=True, slots=True)
class _Claim:
    """A scenario (or, where ``scenario`` is empty, a whole feature) that names an id."""

    id: str
    path: Path
    scenario: str
    cases: tuple[Case, ...]


def coverage(*, others: bool = True) -> tuple[Row, ...]:
    """Every id of the runbook in order, with what covers it.

    Args:
        others: count features of packages as well.

    Raises InputError when a feature, a test or the list of ids cannot be read.
    """
    folders = feature_folders() if others else (ROOT / "features",)
    features = [read_feature(path) for folder in folders for path in sorted(folder.glob("*.feature"))]
    claims: dict[str, list[_Claim]] = {}
    for claim in (claim for feature in features for claim in _claims(feature)):
        claims.setdefault(claim.id, []).append(claim)
    tests = _tests(sorted((ROOT / "tests").glob("**/test_*.py")))
    families = known_causes()
    return tuple(_row(depth, one, claims, tests, families) for top in load_ids() for depth, one in top.walk())


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    width = max(len(row.id) + 2 * row.depth for row in rows) + 2
    lines = [f"{'  ' * row.depth + row.id:<{width}}{row.status:<18}{', '.join(_proofs(row))}".rstrip() for row in rows]
    return "\n".join([*lines, "", _sentence(rows)])


def as_json(rows: Sequence[Row]) -> str:
    """The table for programs: a list of objects with the fields of `Row`, and ``status``."""
    return json.dumps([{**asdict(row), "status": row.status} for row in rows], indent=2)


def as_markdown(rows: Sequence[Row]) -> str:
    """The table as a page of the documentation."""
    lines = [
        "# Coverage of the runbook",
        "",
        "Which demand of the [runbook](runbooks/) is proven by what. Generated (`make docs`) from the tags of the",
        "features and the marks of the tests; the ids are those of [runbooks/ids.yaml](runbooks/ids.yaml).",
        "",
        f"**{_sentence(rows)}**",
    ]
    for row in rows:
        if row.depth == 0:
            lines += ["", f"## {row.title}", "", "| id | demand | features | experiment | rule: cause | tests |"]
            lines += ["|---|---|---|---|---|---|"]
        lines.append(_line(row))
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    proof = " ".join(f"{_feature_link(one)}<br>" for one in row.features).removesuffix("<br>")
    if not proof and row.status == NOT_COVERED:
        proof = f"**{NOT_COVERED}**"
    elif not proof and row.depth and row.parts > 1:
        proof = row.status
    title = row.title.replace("<", "&lt;").replace("|", "\\|") if row.depth else f"*{row.status}*"
    cells = (
        f"`{row.id}`",
        title,
        proof,
        ", ".join(f"[{one}](../experiments/{one}.yaml)" for one in row.experiments),
        ", ".join(f"`{one}`" for one in row.causes),
        "<br>".join(_test_link(one) for one in row.tests),
    )
    return "| " + " | ".join(cells) + " |"


def _feature_link(feature: str) -> str:
    name, _, scenario = feature.partition(": ")
    return f"[{name}](../features/{name}.feature)" + (f": {scenario}" if scenario else "")


def _test_link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name or Path(path).stem}](../{path})"


def _sentence(rows: Sequence[Row]) -> str:
    tops = [row for row in rows if row.depth == 0]
    return f"{sum(row.covered for row in tops)} of {sum(row.parts for row in tops)} demands are covered."


def _proofs(row: Row) -> tuple[str, ...]:
    return (*row.features, *row.tests)


def _claims(feature: ReadFeature) -> Iterator[_Claim]:
    for tag in feature.tags:
        claimed = claimed_id(tag.name)
        if claimed is not None and feature.cases:
            yield _Claim(claimed, feature.path, "", feature.cases)
    for heading in feature.headings:
        cases = tuple(case for case in feature.cases if case.line == heading.line)
        for tag in dict.fromkeys((*heading.tags, *heading.inherited)):
            claimed = claimed_id(tag.name)
            if claimed is not None and cases and tag not in feature.tags:
                yield _Claim(claimed, feature.path, heading.name, cases)


def _tests(paths: Iterable[Path]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        for mark in runbook_marks(path):
            relative = path.relative_to(ROOT)
            found.setdefault(mark.id, []).append(f"{relative}::{mark.test}" if mark.test else str(relative))
    return found


def _row(
    depth: int,
    one: RunbookId,
    claims: Mapping[str, Sequence[_Claim]],
    tests: Mapping[str, Sequence[str]],
    families: Mapping[str, str],
) -> Row:
    leaves = [part for _, part in one.walk() if not part.parts]
    covered = sum(1 for leaf in leaves if claims.get(leaf.id) or tests.get(leaf.id))
    own = claims.get(one.id, ())
    steps = [step.name for claim in own for case in claim.cases for step in case.steps]
    return Row(
        depth=depth,
        id=one.id,
        title=one.title,
        features=_unique(f"{c.path.stem}: {c.scenario}" if c.scenario else c.path.stem for c in own),
        experiments=_unique(name for step in steps for name in EXPERIMENT.findall(step)),
        causes=_unique(f"{families.get(name, '?')}: {name}" for step in steps for name in CAUSE.findall(step)),
        tests=_unique(tests.get(one.id, ())),
        covered=covered,
        parts=len(leaves),
    )


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))

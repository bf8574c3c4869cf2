"""Checks of features: their form, their steps, their tags."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence

from pytest_bdd.parser import Step

from clients.errors import InputError
from gameday.catalogue import StepDefinition, nearest
from gameday.experiment import find_experiment, known_experiments
from gameday.gherkin import Case, ReadFeature, Tag
from gameday.lint.problem import Problem, did_you_mean, shown
from gameday.runbook_ids import claimed_id

EXPERIMENT = re.compile(r'the experiment "([^"]+)"')
CAUSE = re.compile(r'the causes? "([^"]+)"')
_TAG_KINDS = ("runbook", "beyond", "experiment")
_IDS_ARE_IN = "the ids are in docs/runbooks/ids.yaml"


def experiments_of(feature: ReadFeature) -> tuple[str, ...]:
    """The experiments that the steps of a feature name, in order."""
    return tuple(dict.fromkeys(name for case in feature.cases for name in _experiments(case)))


def check_feature(
    feature: ReadFeature, steps: Sequence[StepDefinition], ids: Collection[str], causes: Collection[str]
) -> list[Problem]:
    """Everything that is wrong with a feature, by line.

    Args:
        ids: the ids of the runbook.
        causes: those that a rule can find.
    """
    found = [
        *form_problems(feature),
        *_empty_claims(feature),
        *step_problems(feature, steps),
        *_missing_experiments(feature),
        *_unknown_causes(feature, causes),
        *_tags(feature, ids),
    ]
    return sorted(dict.fromkeys(found))


def step_problems(feature: ReadFeature, steps: Sequence[StepDefinition]) -> Iterator[Problem]:
    """Steps without a definition, with more than one, or with a placeholder that no example fills."""
    path = shown(feature.path)
    for step in (step for case in feature.cases for step in case.steps):
        matching = [one for one in steps if one.matches(step.type, step.name)]
        if len(matching) == 1:
            continue
        if matching:
            what = f"two step definitions match: {step.name}"
            places = " and ".join(one.source for one in matching[:2])
            yield Problem(path, step.line_number, what, f"make one of them more exact: {places}")
        elif unfilled := re.search(r"<[^<>]+>", step.name):
            what = f"nothing fills {unfilled[0]}"
            yield Problem(path, step.line_number, what, "add a column of that name to the Examples of the outline")
        else:
            what = f"no step definition matches: {step.keyword} {step.name}"
            yield Problem(path, step.line_number, what, _nearest(step, steps))


def _nearest(step: Step, steps: Sequence[StepDefinition]) -> str:
    other = next((one for one in steps if one.context.parser.is_matching(step.name)), None)
    if other is not None:
        return f"it is a step of {other.keyword.capitalize()}"
    near = nearest(step.type, step.name, steps)
    if near is None:
        return "`gameday steps` lists the steps there are"
    return f"did you mean: {near.keyword.capitalize()} {near.pattern}"


def form_problems(feature: ReadFeature) -> Iterator[Problem]:
    """Scenarios that would never run, or run and do nothing."""
    path = shown(feature.path)
    if not feature.headings:
        yield Problem(path, feature.line, "the feature has no scenario", "write a Scenario")
    seen: dict[str, int] = {}
    for heading in feature.headings:
        if heading.name in seen:
            # pytest-bdd keeps the last one of a name and says nothing: the other would never run
            what = f"there is another scenario {heading.name!r} in line {seen[heading.name]}, and only one would run"
            yield Problem(path, heading.line, what, "give it a name of its own")
        seen.setdefault(heading.name, heading.line)
        if heading.rows == 0:
            yield Problem(path, heading.line, "the outline has no row of examples, so it never runs", "add a row")
    for case in feature.cases:
        if not case.steps:
            yield Problem(path, case.line, f"scenario {case.scenario!r} has no step", "write Given, When and Then")


def _empty_claims(feature: ReadFeature) -> Iterator[Problem]:
    for case in feature.cases:
        if case.steps and not any(step.type == "then" for step in case.steps):
            yield Problem(shown(feature.path), case.line, f"scenario {case.scenario!r} claims nothing", "add a Then")


def _missing_experiments(feature: ReadFeature) -> Iterator[Problem]:
    for step in (step for case in feature.cases for step in case.steps):
        for name in EXPERIMENT.findall(step.name):
            try:
                find_experiment(name)
            except InputError as error:
                suggestion = did_you_mean(name, known_experiments(), otherwise=error.remedy)
                yield Problem(shown(feature.path), step.line_number, f"there is no experiment {name!r}", suggestion)


def _unknown_causes(feature: ReadFeature, causes: Collection[str]) -> Iterator[Problem]:
    for step in (step for case in feature.cases for step in case.steps):
        for cause in CAUSE.findall(step.name):
            if cause not in causes:
                suggestion = did_you_mean(cause, causes, otherwise="`gameday steps` lists the causes there are")
                yield Problem(shown(feature.path), step.line_number, f"no rule finds the cause {cause!r}", suggestion)


def _tags(feature: ReadFeature, ids: Collection[str]) -> Iterator[Problem]:
    path = shown(feature.path)
    every = dict.fromkeys([*feature.tags, *(t for h in feature.headings for t in (*h.inherited, *h.tags))])
    for tag in every:
        yield from _known_tag(path, tag, ids)
    used_by_any = {_stem(name) for name in experiments_of(feature)}
    for tag in dict.fromkeys([*feature.tags, *(t for h in feature.headings for t in h.inherited)]):
        yield from _used_experiment(path, tag, used_by_any)
    for heading in feature.headings:
        rows = [case for case in feature.cases if case.line == heading.line]
        used_by_rows = dict.fromkeys(_stem(name) for case in rows for name in _experiments(case))
        for tag in heading.tags:
            yield from _used_experiment(path, tag, used_by_rows)
    for case in feature.cases:
        used = [_stem(name) for name in _experiments(case)]
        tagged = {tag.name for tag in (*case.tags, *case.inherited)}
        for name in dict.fromkeys(used):
            if f"experiment:{name}" not in tagged:
                what = f"scenario {case.scenario!r} uses the experiment {name!r} and has no tag for it"
                yield Problem(path, case.line, what, f"add @experiment:{name}")


def _known_tag(path: str, tag: Tag, ids: Collection[str]) -> Iterator[Problem]:
    claimed = claimed_id(tag.name)
    if claimed is not None:
        if claimed not in ids:
            suggestion = did_you_mean(claimed, ids, otherwise=_IDS_ARE_IN)
            yield Problem(path, tag.line, f"@{tag.name} names no id of the runbook", suggestion)
        return
    kind, colon, _ = tag.name.partition(":")
    near = difflib.get_close_matches(kind, _TAG_KINDS, n=1, cutoff=0.75) if colon and kind not in _TAG_KINDS else []
    if near:
        yield Problem(path, tag.line, f"@{tag.name} means nothing", f"did you mean @{near[0]}:...?")


def _used_experiment(path: str, tag: Tag, used: Collection[str]) -> Iterator[Problem]:
    kind, _, name = tag.name.partition(":")
    if kind == "experiment" and name not in used:
        suggestion = f"the steps use {', '.join(map(repr, used))}" if used else "no step names an experiment"
        yield Problem(path, tag.line, f"no step uses the experiment of the tag @{tag.name}", suggestion)


def _experiments(case: Case) -> list[str]:
    return [name for step in case.steps for name in EXPERIMENT.findall(step.name)]


def _stem(name: str) -> str:
    """The name of an experiment that may be given by path."""
    return name.rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml").removesuffix(".json")

"""Checks of experiments: valid for Chaos Toolkit, its functions there, its effect proven, its damage undone."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from clients.errors import InputError
from gameday.lint.problem import Problem, from_error, shown
from gameday.yaml_lines import Place, YamlFile, read_yaml

STANDALONE = "standalone"
"""The tag of an experiment that no feature needs to use."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def is_experiment(data: Any) -> bool:
    """Whether the content of a file is meant to be an experiment."""
    return isinstance(data, dict) and ("method" in data or "steady-state-hypothesis" in data)


def check_experiment_file(path: Path, used: Collection[str]) -> list[Problem]:
    """Everything that is wrong with an experiment, by line.

    Args:
        used: the names of the experiments that features use.
    """
    try:
        file = read_yaml(path)
    except InputError as error:
        return [from_error(error, path)]
    if not isinstance(file.data, dict):
        return [Problem(shown(path), 1, "the experiment is no mapping", "see https://chaostoolkit.org/reference/api")]
    found = [*_repeated(file), *_valid(file), *_complete(file), *_variables(file), *_use(file, used)]
    return sorted(dict.fromkeys(found))


def _repeated(file: YamlFile) -> Iterator[Problem]:
    for key, line in file.repeated:
        yield Problem(shown(file.path), line, f"{key!r} stands twice in one mapping, and only one counts", "remove one")


def _activities(file: YamlFile) -> Iterator[tuple[Place, Any]]:
    hypothesis = file.data.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    lists: list[tuple[Place, Any]] = [
        (("steady-state-hypothesis", "probes"), probes),
        (("method",), file.data.get("method")),
        (("rollbacks",), file.data.get("rollbacks")),
    ]
    for place, activities in lists:
        for index, activity in enumerate(activities if isinstance(activities, list) else []):
            yield (*place, index), activity


def _valid(file: YamlFile) -> Iterator[Problem]:
    """What Chaos Toolkit itself would refuse."""
    from chaoslib.activity import ensure_activity_is_valid
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    logging.getLogger("chaostoolkit").setLevel(logging.CRITICAL)
    path, sound = shown(file.path), True
    for place, activity in _activities(file):
        try:
            ensure_activity_is_valid(activity)
        except (ChaosException, AttributeError, TypeError) as error:
            sound = False
            remedy = "name a function that exists, with the arguments it takes, in provider"
            yield Problem(path, file.line(*place), _sentence(error), remedy)
    if not sound:
        return
    try:
        ensure_experiment_is_valid(file.data)
    except (ChaosException, AttributeError, TypeError) as error:
        yield Problem(path, 1, _sentence(error), "see https://chaostoolkit.org/reference/api/experiment")


def _sentence(error: Exception) -> str:
    return f"Chaos Toolkit refuses it: {' '.join(str(error).split())}"


def _complete(file: YamlFile) -> Iterator[Problem]:
    """What Chaos Toolkit would allow and a game day needs: it proves nothing without."""
    path, data = shown(file.path), file.data
    hypothesis = data.get("steady-state-hypothesis")
    if not isinstance(hypothesis, dict) or not hypothesis.get("probes"):
        what = "the experiment has no steady-state hypothesis with a probe"
        yield Problem(path, file.line("steady-state-hypothesis"), what, "add a probe that holds before the fault")
    method = data.get("method")
    activities = [one for one in method if isinstance(one, dict)] if isinstance(method, list) else []
    if not any(one.get("type") == "action" for one in activities):
        yield Problem(path, file.line("method"), "the method has no action: nothing breaks", "add one")
    elif activities[-1].get("type") != "probe":
        place: Place = ("method", len(activities) - 1)
        yield Problem(
            path, file.line(*place), "the method does not end with a probe: nothing proves the effect", "add a probe"
        )
    elif "tolerance" not in activities[-1]:
        place = ("method", len(activities) - 1)
        what = "the last probe has no tolerance: it proves nothing, whatever it returns"
        yield Problem(path, file.line(*place), what, "add `tolerance: true`")
    if not data.get("rollbacks"):
        yield Problem(path, file.line("rollbacks"), "the experiment has no rollbacks", "undo there what the method did")


def _variables(file: YamlFile) -> Iterator[Problem]:
    """Variables that nothing defines: Chaos Toolkit would pass their text on."""
    scopes = file.data.get("secrets")
    secrets = scopes.values() if isinstance(scopes, dict) else ()
    defined = sorted(name for one in (file.data.get("configuration"), *secrets) for name in _keys(one))
    for place, line in file.lines.items():
        value = _at(file.data, place)
        for name in _VARIABLE.findall(value) if isinstance(value, str) and place[:1] != ("configuration",) else []:
            if name not in defined:
                what = f"${{{name}}} is not in the configuration"
                yield Problem(shown(file.path), line, what, f"add {name} to it, or use one of {', '.join(defined)}")


def _keys(data: Any) -> list[str]:
    return [str(key) for key in data] if isinstance(data, dict) else []


def _at(data: Any, place: Place) -> Any:
    for key in place:
        if isinstance(data, dict):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            return None
    return data


def _use(file: YamlFile, used: Collection[str]) -> Iterator[Problem]:
    name = file.path.stem
    if name in used or str(file.path) in used or STANDALONE in (file.data.get("tags") or []):
        return
    what = f"no feature uses the experiment {name!r}"
    suggestion = f'write `When the experiment "{name}" injects its failure`, or tag it `{STANDALONE}`'
    yield Problem(shown(file.path), file.line("tags") if "tags" in file.data else 1, what, suggestion)

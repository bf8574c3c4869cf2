"""The step catalogue: every sentence that a feature can use, read from the step definitions themselves."""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_bdd import parsers
from pytest_bdd.steps import StepFunctionContext, step_function_context_registry

from gameday.extensions import ROOT, feature_folders
from gameday.gherkin import ReadFeature, read_feature

KEYWORDS = ("given", "when", "then")
EXAMPLES = 2
"""Examples shown of a step."""
_NEAR_ENOUGH = 0.55
_GROUP = re.compile(r"\(\?P<(\w+)>[^()]*\)")
_CHOICE = re.compile(r"\(\?:([^()|]*)(?:\|[^()]*)?\)\??")
_FIELD = re.compile(r"\{(\w*)(?::[^}]*)?\}")
_VARYING = re.compile(r'"[^"]*"|<[^>]*>|\d+(?:\.\d+)?')


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """One step.

    Attributes:
        keyword: ``given``, ``when``, ``then``, or ``any``.
        pattern: the sentence, with a ``<name>`` where it takes a value.
        meaning: what it does or claims: the first sentences of its docstring.
        examples: sentences of features that use it; one made from the pattern when none does.
        module: where it is defined.
        source: its file and line, the file relative to the project where it is one of ours.
    """

    keyword: str
    pattern: str
    meaning: str
    examples: tuple[str, ...]
    module: str
    source: str
    context: StepFunctionContext

    def matches(self, keyword: str, sentence: str) -> bool:
        """Whether it is the definition of a sentence under a keyword."""
        return self.keyword in ("any", keyword) and self.context.parser.is_matching(sentence)


def catalogue(modules: Sequence[str], features: Iterable[Path] | None = None) -> tuple[StepDefinition, ...]:
    """The steps of some modules, with examples from the features (by default: those of `feature_folders`).

    Raises InputError when a feature cannot be read.
    """
    paths = [path for folder in feature_folders() for path in sorted(folder.glob("*.feature"))]
    sentences = _sentences(read_feature(path) for path in (paths if features is None else features))
    return tuple(_with_examples(one, sentences) for one in definitions(modules))


def definitions(modules: Sequence[str]) -> tuple[StepDefinition, ...]:
    """The steps of some modules (see `extensions.step_modules`), without examples: by keyword, module, and place."""
    known = [_definition(c) for c in step_function_context_registry.values() if c.step_func.__module__ in modules]
    order = (*KEYWORDS, "any")
    return tuple(
        sorted(known, key=lambda one: (order.index(one.keyword), modules.index(one.module), _line(one.context)))
    )


def nearest(keyword: str, sentence: str, known: Sequence[StepDefinition]) -> StepDefinition | None:
    """The step most similar to a sentence that no step matches; None when nothing is near.

    Values in quotes and numbers do not count. Among equals, one of the same keyword wins.
    """

    def similarity(one: StepDefinition) -> float:
        matcher = difflib.SequenceMatcher(None, _shape(sentence), _shape(one.pattern), autojunk=False)
        return matcher.ratio() + (0.01 if one.keyword in ("any", keyword) else 0.0)

    best = max(known, key=similarity, default=None)
    return best if best is not None and similarity(best) >= _NEAR_ENOUGH else None


def as_text(known: Sequence[StepDefinition]) -> str:
    """The catalogue for a terminal."""
    lines: list[str] = []
    for keyword, steps in _by_keyword(known):
        lines += [keyword, ""]
        for one in steps:
            lines += [f"  {one.pattern}", f"      {one.meaning}"]
            lines += [f"      e.g. {example}" for example in one.examples]
            lines += [f"      {one.source}", ""]
    return "\n".join(lines).rstrip()


def as_json(known: Sequence[StepDefinition]) -> str:
    """The catalogue for programs: a list of objects with the fields of `StepDefinition`."""
    shown = ("keyword", "pattern", "meaning", "examples", "module", "source")
    return json.dumps([{name: getattr(one, name) for name in shown} for one in known], indent=2)


def as_markdown(known: Sequence[StepDefinition]) -> str:
    """The catalogue as a page of the documentation."""
    lines = [
        "# Steps",
        "",
        "Every sentence that a feature can use. `<name>` stands for a value. This page is generated from the step",
        "definitions (`make docs`); `gameday steps` prints it for what is installed, your own steps included.",
    ]
    for keyword, steps in _by_keyword(known):
        lines += ["", f"## {keyword}"]
        for one in steps:
            lines += ["", f"### {_escaped(one.pattern)}", "", one.meaning, "", "```gherkin"]
            lines += [*one.examples, "```", "", f"`{one.source.rpartition(':')[0]}`"]
    return "\n".join(lines) + "\n"


def _definition(context: StepFunctionContext) -> StepDefinition:
    function = context.step_func
    return StepDefinition(
        keyword=context.type or "any",
        pattern=_readable(context),
        meaning=_meaning(function.__name__, inspect.getdoc(function) or ""),
        examples=(),
        module=function.__module__,
        source=f"{_relative(Path(inspect.getsourcefile(function) or ''))}:{_line(context)}",
        context=context,
    )


def _readable(context: StepFunctionContext) -> str:
    """The pattern with ``<name>`` for every value; of a regular expression, the first of several wordings."""
    name = context.parser.name
    if not isinstance(context.parser, parsers.re):
        return _FIELD.sub(lambda field: f"<{field[1] or 'value'}>", name) if _takes_fields(context) else name
    words = _CHOICE.sub(r"\1", _GROUP.sub(r"<\1>", name))
    return re.sub(r"\\(.)", r"\1", re.sub(r"\w\?", "", words)).strip("^$")


def _takes_fields(context: StepFunctionContext) -> bool:
    return isinstance(context.parser, parsers.parse)


def _meaning(name: str, doc: str) -> str:
    """The first paragraph of the docstring, in one line; the words of the function's name when there is none."""
    paragraph = " ".join(doc.split("\n\n")[0].split())
    return paragraph or name.strip("_").replace("_", " ").capitalize() + "."


def _line(context: StepFunctionContext) -> int:
    code = getattr(context.step_func, "__code__", None)
    return int(code.co_firstlineno) if code is not None else 0


def _relative(path: Path) -> str:
    for folder in (ROOT, Path.cwd()):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)


def _sentences(features: Iterable[ReadFeature]) -> list[tuple[str, str]]:
    """Keyword and sentence of every step in the features, outlines filled in."""
    found = [(step.type, step.name) for one in features for case in one.cases for step in case.steps]
    return list(dict.fromkeys(found))


def _with_examples(one: StepDefinition, sentences: Sequence[tuple[str, str]]) -> StepDefinition:
    used = [f"{keyword.capitalize()} {text}" for keyword, text in sentences if one.matches(keyword, text)]
    return replace(one, examples=tuple(used[:EXAMPLES]) or (_made_up(one),))


def _made_up(one: StepDefinition) -> str:
    """A sentence that the step matches, filled with plain values; the pattern when that fails."""
    keyword = "Given" if one.keyword == "any" else one.keyword.capitalize()
    for value in ("5", "name", "0.5"):
        sentence = re.sub(r"<\w+>", value, one.pattern)
        if one.context.parser.is_matching(sentence):
            return f"{keyword} {sentence}"
    numbers = re.sub(r"(?<!\")<\w+>(?!\")", "5", one.pattern)
    sentence = re.sub(r"<(\w+)>", r"\1", numbers)
    return f"{keyword} {sentence if one.context.parser.is_matching(sentence) else one.pattern}"


def _shape(sentence: str) -> str:
    """A sentence without its values, as similarity sees it."""
    return _VARYING.sub("~", sentence.lower())


def _by_keyword(known: Sequence[StepDefinition]) -> list[tuple[str, list[StepDefinition]]]:
    groups = [(word, [one for one in known if one.keyword == word]) for word in (*KEYWORDS, "any")]
    titles = {"given": "Given", "when": "When", "then": "Then", "any": "Under any keyword"}
    return [(titles[word], steps) for word, steps in groups if steps]


def _escaped(text: str) -> str:
    """Text as a Markdown heading: placeholders are not taken for HTML."""
    return text.replace("<", "\\<").replace(">", "\\>")

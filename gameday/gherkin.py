"""A feature file as read: what pytest-bdd makes of it, with the lines of its tags and its outlines filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_bdd.exceptions import GherkinParseError
from pytest_bdd.gherkin_parser import Child, GherkinDocument, get_gherkin_document
from pytest_bdd.gherkin_parser import Scenario as Node
from pytest_bdd.gherkin_parser import Tag as TagNode
from pytest_bdd.parser import FeatureParser, ScenarioTemplate, Step

from clients.errors import InputError


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag without its ``@``, and its line."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario, or an outline filled in with one row of its examples.

    Attributes:
        scenario: the name, filled in as well.
        steps: those of the backgrounds first.
        tags: its own.
        inherited: those of its feature and rule.
    """

    scenario: str
    line: int
    steps: tuple[Step, ...]
    tags: tuple[Tag, ...]
    inherited: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a scenario or outline as it stands in the file.

    Attributes:
        rows: rows of its examples; None when it has no examples.
    """

    name: str
    line: int
    rows: int | None
    tags: tuple[Tag, ...]
    inherited: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class ReadFeature:
    """A feature file."""

    path: Path
    name: str
    line: int
    tags: tuple[Tag, ...]
    headings: tuple[Heading, ...]
    cases: tuple[Case, ...]


def read_feature(path: Path) -> ReadFeature:
    """Read a feature. Raises InputError that names file and line."""
    try:
        document: GherkinDocument = get_gherkin_document(str(path.resolve()))
        parsed = FeatureParser(str(path.parent.resolve()), path.name).parse()
    except GherkinParseError as error:
        raise InputError(
            f"the feature cannot be read: {_first_line(error.message)}",
            where=f"{path}:{error.line}",
            remedy="see https://cucumber.io/docs/gherkin/reference",
        ) from error
    except OSError as error:
        raise InputError(f"the feature cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"the feature cannot be read: {error.reason}", where=str(path), remedy="save it as UTF-8"
        ) from error
    except (KeyError, TypeError) as error:  # what pytest-bdd makes of a file without a Feature
        raise InputError("there is no Feature in this file", where=f"{path}:1", remedy="begin with Feature:") from error
    tags = _tags(document.feature.tags)
    headings = tuple(_headings(document.feature.children, tags))
    by_name = {heading.name: heading for heading in headings}
    cases = tuple(case for one in parsed.scenarios.values() for case in _cases(one, by_name[one.name]))
    return ReadFeature(path, parsed.name, parsed.line_number, tags, headings, cases)


def _headings(children: list[Child], inherited: tuple[Tag, ...]) -> Iterator[Heading]:
    for child in children:
        if child.rule is not None:
            yield from _headings(child.rule.children, (*inherited, *_tags(child.rule.tags)))
        if child.scenario is not None:
            yield _heading(child.scenario, inherited)


def _heading(node: Node, inherited: tuple[Tag, ...]) -> Heading:
    rows = sum(len(table.table_body or []) for table in node.examples) if node.examples else None
    own = (*node.tags, *(tag for table in node.examples for tag in table.tags))
    return Heading(node.name, node.location.line, rows, _tags(own), inherited)


def _tags(nodes: list[TagNode] | tuple[TagNode, ...]) -> tuple[Tag, ...]:
    return tuple(Tag(node.name.removeprefix("@"), node.location.line) for node in nodes)


def _cases(template: ScenarioTemplate, heading: Heading) -> Iterator[Case]:
    rows = [row for table in template.examples for row in table.as_contexts()] if template.templated else [{}]
    for row in rows:
        filled = template.render(row)
        yield Case(filled.name, template.line_number, tuple(filled.steps), heading.tags, heading.inherited)


def _first_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    first = lines[1] if len(lines) > 1 and lines[0].endswith("errors:") else lines[0]
    return re.sub(r"^\(\d+:\d+\): ", "", first)

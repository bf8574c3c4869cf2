"""The commands for writing the next failure: ``gameday steps``, ``lint``, ``new scenario``, ``coverage``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clients.errors import InputError
from gameday import activities, catalogue, causes
from gameday.coverage import as_json as coverage_json
from gameday.coverage import as_markdown as coverage_markdown
from gameday.coverage import as_text as coverage_text
from gameday.coverage import coverage
from gameday.extensions import ROOT, step_modules
from gameday.lint import lint
from gameday.results import EXIT_UNUSABLE
from gameday.scaffold import Kind, new_scenario


class Format(StrEnum):
    """How a list is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def steps_command(
    search: Annotated[str, typer.Argument(help="only steps that contain this text")] = "",
    form: Annotated[Format, typer.Option("--format", help="how to print them")] = Format.TEXT,
    built_in: Annotated[bool, typer.Option("--built-in", help="without those of ./steps and of packages")] = False,
) -> None:
    """List the sentences that a feature can use, with examples."""
    features = sorted((ROOT / "features").glob("*.feature")) if built_in else None
    known = catalogue.catalogue(step_modules(others=not built_in), features)
    if search:
        words = search.lower()
        known = tuple(one for one in known if any(words in text.lower() for text in (one.pattern, one.meaning)))
    if not known:
        raise InputError("no step contains this text", where=search, remedy="`gameday steps` lists all of them")
    if form is Format.JSON:
        typer.echo(catalogue.as_json(known))
        return
    steps, rules = (
        (catalogue.as_text(known), causes.as_text)
        if form is Format.TEXT
        else (catalogue.as_markdown(known), causes.as_markdown)
    )
    typer.echo(steps if search else f"{steps.rstrip()}\n\n{rules(causes.known_causes()).rstrip()}")


def activities_command(
    form: Annotated[Format, typer.Option("--format", help="how to print them")] = Format.TEXT,
) -> None:
    """List the functions of ours that an experiment can call."""
    known = activities.activities()
    printed = {
        Format.TEXT: activities.as_text,
        Format.JSON: activities.as_json,
        Format.MARKDOWN: activities.as_markdown,
    }
    typer.echo(printed[form](known), nl=form is not Format.MARKDOWN)


def lint_command(
    paths: Annotated[list[Path] | None, typer.Argument(help="files or folders; the current folder by default")] = None,
) -> None:
    """Check features, experiments, policy and runbook ids without a cluster.

    Exit code 0: nothing to complain about. 2: there are problems, each with file and line.
    """
    result = lint(paths or [])
    for problem in result.problems:
        typer.echo(str(problem))
    files = f"{result.checked} file{'' if result.checked == 1 else 's'}"
    if result.problems:
        count = len(result.problems)
        typer.echo(f"{count} problem{'' if count == 1 else 's'} in {files}", err=True)
        raise typer.Exit(EXIT_UNUSABLE)
    typer.echo(f"{files} checked, nothing to complain about")


def coverage_command(
    form: Annotated[Format, typer.Option("--format", help="how to print it")] = Format.TEXT,
    built_in: Annotated[bool, typer.Option("--built-in", help="without features of packages")] = False,
) -> None:
    """Show which demands of the runbook are covered, by which features and tests."""
    rows = coverage(others=not built_in)
    printed = {Format.TEXT: coverage_text, Format.JSON: coverage_json, Format.MARKDOWN: coverage_markdown}[form](rows)
    typer.echo(printed, nl=form is not Format.MARKDOWN)


def scenario_command(
    name: Annotated[str, typer.Argument(help="a name such as gpu_fan_stops: small letters, digits, underscores")],
    experiment: Annotated[Kind, typer.Option(help="the kind of failure to begin with")] = Kind.POD_KILLED,
) -> None:
    """Write a feature, an experiment and a test into the current folder, which run as they are."""
    made = new_scenario(name, experiment)
    typer.echo(made.instructions)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("steps")(steps_command)
    app.command("activities")(activities_command)
    app.command("lint")(lint_command)
    app.command("coverage")(coverage_command)
    new = typer.Typer(no_args_is_help=True, help="Begin something new.")
    new.command("scenario")(scenario_command)
    new.callback()(_new)
    app.add_typer(new, name="new")


def _new() -> None:
    """Begin something new."""

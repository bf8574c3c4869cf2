"""The command line: ``gameday run``, ``gameday report``, ``gameday cluster``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clients.errors import GamedayError, InputError
from cluster.cli import app as cluster_app
from gameday import authoring
from gameday.conductor import RunRequest, run
from gameday.features import find_features, local_features
from gameday.providers import ClusterRequest
from gameday.remediators import load_factory
from gameday.report import render
from gameday.results import EXIT_UNUSABLE
from gameday.session import Subject
from gameday.slo import Slo
from load.profile import LoadProfile

ROOT = Path(__file__).resolve().parent.parent
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Prove that the remediation of a vLLM deployment still works.",
)
app.add_typer(cluster_app, name="cluster")


@app.command("run")
def run_command(
    features: Annotated[
        list[str] | None, typer.Argument(help="feature files, folders or names; all built-in ones by default")
    ] = None,
    chart: Annotated[Path, typer.Option(help="the vLLM chart under test")] = ROOT / "charts" / "vllm-deployment",
    values: Annotated[list[Path] | None, typer.Option(help="values files for it, later ones win")] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="run on this cluster instead of starting an embedded one")
    ] = None,
    slo: Annotated[Path, typer.Option(help="objectives to judge by")] = ROOT / "slo" / "gameday.yaml",
    load_profile: Annotated[Path | None, typer.Option(help="load to offer")] = None,
    rate: Annotated[float | None, typer.Option(help="requests per second, instead of the profile's")] = None,
    remediator: Annotated[
        str, typer.Option(help="module:factory of the remediation to put to the test")
    ] = "gameday.remediators:runbook",
    runs: Annotated[Path, typer.Option(help="where run folders are made")] = Path("runs"),
    port: Annotated[int, typer.Option(help="port of the embedded API server, 0 for a free one")] = 0,
    cluster: Annotated[
        str, typer.Option(help="embedded, or envtest for a control plane of the binaries in KUBEBUILDER_ASSETS")
    ] = "embedded",
    keep_cluster: Annotated[bool, typer.Option(help="leave the cluster and what was installed running")] = False,
) -> None:
    """Run a game day.

    Exit code 0: every scenario passed. 1: a scenario failed. 2: the run could not begin. 3: nothing failed, but
    something was invalid or inconclusive.
    """
    profile = LoadProfile.load(load_profile) if load_profile else LoadProfile()
    if rate is not None:
        profile = profile.model_copy(update={"rate_per_second": rate})
    platform_chart = ROOT / "charts" / "platform"
    request = RunRequest(
        features=find_features(features or []),
        cluster=ClusterRequest(
            kubeconfig=kubeconfig,
            port=port,
            image_map=ROOT / "services" / "images.yaml",
            config=ROOT / "cluster" / "gameday.yaml",
            kind=cluster,
        ),
        subject=Subject(
            chart=chart,
            values=tuple(values) if values else (ROOT / "charts" / "vllm-deployment" / "values-gameday.yaml",),
            platform_chart=platform_chart,
            platform_values=(platform_chart / "values-gameday.yaml",),
        ),
        slo=Slo.load(slo),
        profile=profile,
        remediator=load_factory(remediator),
        runs=runs,
        keep_cluster=keep_cluster,
    )
    raise typer.Exit(run(request, Console(file=sys.stdout)))


@app.command("report")
def report_command(folder: Annotated[Path, typer.Argument(help="a run folder")]) -> None:
    """Render a run's report again, from its folder alone."""
    if not (folder / "summary.json").is_file():
        raise InputError("this is no run folder: it has no summary.json", where=str(folder), remedy="give runs/<id>")
    typer.echo(render(folder))


@app.command("features")
def features_command() -> None:
    """List the features: those that a run without arguments plays, and those in ./features."""
    for path in dict.fromkeys((*find_features([]), *local_features())):
        typer.echo(f"{path.stem:<32}{_title(path)}")


def _title(path: Path) -> str:
    lines = path.read_text().splitlines()
    return next((line.removeprefix("Feature:").strip() for line in lines if line.startswith("Feature:")), "")


authoring.register(app)


def main() -> None:
    """Entry point: errors of our own end with exit code 2 and one message, never with a traceback."""
    try:
        app(standalone_mode=True)
    except GamedayError as error:
        Console(stderr=True).print(f"gameday: {error}", style="red", soft_wrap=True, markup=False, highlight=False)
        sys.exit(EXIT_UNUSABLE)
    except KeyboardInterrupt:
        sys.exit(EXIT_UNUSABLE)


if __name__ == "__main__":
    main()

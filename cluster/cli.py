"""``gameday cluster``: leave a cluster running, so that a person can point kubectl, Helm or k9s at it."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.errors import InputError
from cluster.embedded.network.resolver import resolve
from cluster.embedded.persistence import is_kept
from cluster.provider import ClusterStatus
from cluster.providers import provider_of
from cluster.providers.embedded import EmbeddedProvider

app = typer.Typer(no_args_is_help=True, help="Start, stop and list clusters.")
IMAGE_MAP = Path(__file__).resolve().parent.parent / "services" / "images.yaml"


def clusters_home() -> Path:
    """Where the state of named clusters lives: ``$GAMEDAY_HOME`` or the user's state folder."""
    home = os.environ.get("GAMEDAY_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state" / "vllm-gameday") / "clusters"


@app.command("up")
def up_command(
    name: Annotated[str, typer.Option(help="name of the cluster")] = "default",
    config: Annotated[Path | None, typer.Option(help="nodes and settings, YAML")] = None,
    image_map: Annotated[Path, typer.Option(help="which programs images stand for")] = IMAGE_MAP,
    port: Annotated[int, typer.Option(help="port of the API server, 0 for a free one")] = 0,
    kind: Annotated[str, typer.Option("--cluster", help="embedded, or envtest for real binaries")] = "embedded",
) -> None:
    """Start a cluster and leave it running."""
    if not name.replace("-", "").isalnum():
        raise InputError("not a cluster name", where=name, remedy="use letters, digits and dashes")
    images = image_map if image_map.is_file() else None
    provider = provider_of(kind, image_map=images, config=config, port=port)
    cluster = provider.up(name, state_dir=clusters_home() / name, detached=True)
    typer.echo(f"cluster {name} is up")
    typer.echo(f"export KUBECONFIG={cluster.kubeconfig}")


@app.command("stop")
def stop_command(name: Annotated[str, typer.Argument(help="name of the cluster")] = "default") -> None:
    """Stop a cluster and keep its objects: ``up`` brings it back, at the same address."""
    chosen = [status for status in _statuses() if status.name == name]
    if not chosen:
        raise InputError("there is no such cluster", where=name, remedy="see: gameday cluster status")
    EmbeddedProvider().down(chosen[0].state_dir)
    typer.echo(f"cluster {name} is stopped; gameday cluster up --name {name} brings it back")


@app.command("down")
def down_command(
    name: Annotated[str, typer.Argument(help="name of the cluster")] = "default",
    everything: Annotated[bool, typer.Option("--all", help="every cluster of this user")] = False,
) -> None:
    """Stop a cluster and everything that runs in it, and delete its objects."""
    provider = EmbeddedProvider()
    statuses = _statuses()
    chosen = statuses if everything else [status for status in statuses if status.name == name]
    if not chosen and not everything:
        raise InputError("there is no such cluster", where=name, remedy="see: gameday cluster status")
    for status in chosen:
        provider.down(status.state_dir)
        shutil.rmtree(status.state_dir, ignore_errors=True)
        typer.echo(f"cluster {status.name} is down")


@app.command("status")
def status_command() -> None:
    """List the clusters of this user."""
    statuses = _statuses()
    if not statuses:
        typer.echo("no cluster is up")
        return
    typer.echo(f"{'NAME':<16}{'STATE':<10}{'PID':<9}{'SINCE':<18}{'SERVER':<28}KUBECONFIG")
    for status in statuses:
        since = datetime.fromtimestamp(status.started).strftime("%Y-%m-%d %H:%M")
        state = "running" if status.running else "stopped" if is_kept(status.state_dir) else "dead"
        kubeconfig = status.state_dir / "kubeconfig"
        typer.echo(f"{status.name:<16}{state:<10}{status.pid:<9}{since:<18}{status.server:<28}{kubeconfig}")


@app.command("resolve")
def resolve_command(
    host: Annotated[str, typer.Argument(help="such as web.system.svc.cluster.local")],
    name: Annotated[str, typer.Option(help="name of the cluster")] = "default",
) -> None:
    """Print the address of a cluster name: it can be reached from this machine."""
    for address in resolve(host, clusters_home() / name):
        typer.echo(address)


def _statuses() -> list[ClusterStatus]:
    provider = EmbeddedProvider()
    found = (provider.status(folder) for folder in sorted(clusters_home().glob("*")))
    return [status for status in found if status is not None]

"""What YAML may not do to the server: nest without end (libyaml's composer recurses in C), or multiply by aliases."""

from __future__ import annotations

from typing import Any

_MOST_DEPTH = 200
_MOST_NODES = 100_000
_MOST_GROWTH = 10


def check(raw: bytes, yaml: Any, loader: Any) -> None:
    """Read the events of a document, without building anything. Raises ValueError and yaml.YAMLError.

    An alias counts as all the nodes it stands for. The texts are those of the YAML library of Kubernetes.
    """
    sizes: list[int] = [0]
    names: list[str | None] = []
    anchors: dict[str, int] = {}
    written = 0
    for event in yaml.parse(raw, loader):
        size = 0
        if isinstance(event, yaml.CollectionStartEvent):
            if len(names) >= _MOST_DEPTH:
                raise ValueError(f"yaml: exceeded max depth of {_MOST_DEPTH}")
            sizes.append(1)
            names.append(event.anchor)
            written += 1
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            size, name = sizes.pop(), names.pop()
            anchors[name or ""] = size
        elif isinstance(event, yaml.ScalarEvent):
            size, written = 1, written + 1
            anchors[event.anchor or ""] = 1
        elif isinstance(event, yaml.AliasEvent):
            size, written = anchors.get(event.anchor, 1), written + 1
        sizes[-1] += size
        if sizes[-1] > _MOST_NODES and sizes[-1] > _MOST_GROWTH * written:
            raise ValueError("yaml: document contains excessive aliasing")

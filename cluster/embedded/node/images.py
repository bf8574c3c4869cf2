"""The image map: which local program plays a container image.

The node never pulls anything. An image that no row maps cannot be had, and says so the way a registry would.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clients.errors import InputError

_REFERENCE = re.compile(
    r"(?P<path>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_KEYS = {"repository", "tags", "entrypoint", "cmd", "bin", "python", "env", "failure"}


class ImageNotFound(LookupError):
    """No image can be had for a reference.

    Attributes:
        reason: ``ErrImagePull`` or ``InvalidImageName``.
        message: what the container status says.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Image:
    """A program that stands for a container image.

    Attributes:
        identity: plays the part of the image's digest in container statuses.
        bin: folder that comes first on PATH.
        python: folder on PYTHONPATH.
        failure: the registry's answer, for an image that cannot be pulled; empty for one that is on the machine.
    """

    repository: str
    tags: tuple[str, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    bin: Path | None
    python: Path | None
    env: Mapping[str, str]
    identity: str
    failure: str = ""


class ImageMap:
    """Images by repository and tag."""

    def __init__(self, images: Sequence[Image] = ()) -> None:
        self._images = tuple(images)

    @classmethod
    def load(cls, path: Path) -> ImageMap:
        """Read an image map. Raises InputError, which names the file and the key."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror}", where=str(path), remedy="give the path of an image map"
            ) from None
        except yaml.YAMLError as error:
            raise InputError(
                f"is not YAML: {' '.join(str(error).split())}", where=str(path), remedy="mend the file"
            ) from None
        rows = content.get("images") if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise InputError("must be a list of images", where=f"{path}: images", remedy="see docs/architecture.md")
        return cls([_image(path, index, row) for index, row in enumerate(rows)])

    def resolve(self, reference: str) -> Image:
        """The image for a reference as in a pod spec. Raises ImageNotFound."""
        host, slash, rest = reference.partition("/")
        if not (slash and _is_host(host)):
            host, rest = "", reference
        match = _REFERENCE.fullmatch(rest)
        if match is None:
            raise ImageNotFound(
                "InvalidImageName",
                f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": '
                "invalid reference format",
            )
        path, tag = match["path"], match["tag"] or "latest"
        names = {path, path.removeprefix("library/"), f"{host}/{path}"}
        for image in self._images:
            if image.repository in names and ("*" in image.tags or tag in image.tags):
                if image.failure:
                    raise ImageNotFound("ErrImagePull", image.failure)
                return image
        raise ImageNotFound("ErrImagePull", _pull_failure(reference))


def _is_host(part: str) -> bool:
    return "." in part or ":" in part or part == "localhost"


def _pull_failure(reference: str) -> str:
    return (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{reference}": '
        f'failed to resolve reference "{reference}": {reference}: not found'
    )


def _image(path: Path, index: int, row: Any) -> Image:
    where = f"{path}: images[{index}]"
    if not isinstance(row, dict):
        raise InputError("must be a mapping", where=where, remedy="see docs/architecture.md")
    if unknown := sorted(set(row) - _KEYS):
        raise InputError(f"unknown key {unknown[0]!r}", where=where, remedy=f"use {', '.join(sorted(_KEYS))}")
    repository = row.get("repository")
    if not isinstance(repository, str) or not repository:
        raise InputError("must be a name such as vllm/vllm-openai", where=f"{where}.repository", remedy="add it")
    digest = hashlib.sha256(repr(sorted(row.items(), key=lambda item: str(item[0]))).encode()).hexdigest()
    return Image(
        repository=repository,
        tags=_strings(row, "tags", where, default=("*",)),
        entrypoint=_strings(row, "entrypoint", where),
        cmd=_strings(row, "cmd", where),
        bin=_folder(path, row, "bin", where),
        python=_folder(path, row, "python", where),
        env=_env(row, where),
        identity=f"sha256:{digest}",
        failure=str(row.get("failure") or ""),
    )


def _strings(row: dict[str, Any], key: str, where: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    value = row.get(key)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError("must be a list of strings", where=f"{where}.{key}", remedy="quote every item")
    return tuple(value)


def _folder(path: Path, row: dict[str, Any], key: str, where: str) -> Path | None:
    value = row.get(key)
    if value is None:
        return None
    folder = (path.parent / str(value)).resolve()
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist", where=f"{where}.{key}", remedy="correct the path")
    return folder


def _env(row: dict[str, Any], where: str) -> dict[str, str]:
    value = row.get("env") or {}
    if not isinstance(value, dict):
        raise InputError("must be a mapping of strings", where=f"{where}.env", remedy="write NAME: value")
    return {str(name): str(content) for name, content in value.items()}

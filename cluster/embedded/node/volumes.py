"""Volumes as folders, and mounts without a mount namespace.

Each container has a folder that stands for its root (``GAMEDAY_ROOTFS``). A mount is a symbolic link in it, from
the mount path to the volume's folder. Since programs still see the machine's own root, words of command lines and
values of variables that name a mount path (or something below it) are rewritten to the folder. Paths inside a
longer text, such as a shell script, are not; such a text can use ``$GAMEDAY_ROOTFS``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.node import podspec
from cluster.embedded.node.environment import ConfigError, pod_field, read_data, resource_field
from cluster.embedded.node.tokens import PodTokens
from cluster.embedded.resources import CONFIG_MAPS, SECRETS, Object

_DEFAULT_MODE = 0o644


class MountError(Exception):
    """A volume cannot be set up as the cluster is now (FailedMount)."""


class PodVolumes:
    """The volumes of one pod below ``folder``.

    Args:
        folder: the pod's folder.
        host_paths: what plays the root of the node for hostPath volumes; the real root is never used.
        tokens: of the ServiceAccounts that pods run as.
    """

    def __init__(self, client: ApiClient, folder: Path, host_paths: Path, tokens: PodTokens) -> None:
        self._client = client
        self._tokens = tokens
        self._volumes = folder / "volumes"
        self._roots = folder / "rootfs"
        self._host_paths = host_paths

    async def set_up(self, pod: Object, facts: Mapping[str, str]) -> None:
        """Create all volumes, or bring their contents up to date. Raises MountError."""
        for volume in pod["spec"].get("volumes") or []:
            try:
                files = await self._files(pod, volume, facts)
            except ConfigError as error:
                message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise MountError(message) from None
            self._make_folder(volume)
            if files is not None:
                _replace_files(self._volumes / volume["name"], files)

    def root(self, spec: Object) -> Path:
        """The container's root folder with its mounts, made when missing."""
        root = self._roots / str(spec["name"])
        for folder in (root, root / "tmp", root / "root"):
            folder.mkdir(parents=True, exist_ok=True)
        for mount in sorted(podspec.volume_mounts(spec), key=lambda m: len(m["mountPath"])):
            source = self._volumes / mount["name"]
            if sub_path := mount.get("subPath"):
                source = _below(source, str(sub_path))
                if not source.exists():
                    source.mkdir(parents=True)
            _link(_below(root, mount["mountPath"]), source)
        return root

    def remove(self) -> None:
        """Delete contents of volumes and container roots."""
        shutil.rmtree(self._roots, ignore_errors=True)
        shutil.rmtree(self._volumes, ignore_errors=True)

    def _make_folder(self, volume: Object) -> None:
        folder = self._volumes / volume["name"]
        if "hostPath" in volume:
            target = _below(self._host_paths, volume["hostPath"]["path"])
            target.mkdir(parents=True, exist_ok=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            _link(folder, target)
        else:
            folder.mkdir(parents=True, exist_ok=True)

    async def _files(self, pod: Object, volume: Object, facts: Mapping[str, str]) -> dict[str, bytes] | None:
        """Contents of a volume by path; None when its contents belong to the containers."""
        if "projected" in volume:
            files: dict[str, bytes] = {}
            for source in volume["projected"].get("sources") or []:
                files |= await self._source(pod, source, facts)
            return files
        if not {"configMap", "secret", "downwardAPI"} & volume.keys():
            return None
        return await self._source(pod, volume, facts)

    async def _source(self, pod: Object, source: Object, facts: Mapping[str, str]) -> dict[str, bytes]:
        if "downwardAPI" in source:
            return _downward(pod, source["downwardAPI"].get("items") or [], facts)
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted.get("path") or "token": await self._token(pod, wanted)}
        key, resource = ("configMap", CONFIG_MAPS) if "configMap" in source else ("secret", SECRETS)
        if key not in source:
            raise ConfigError("this kind of volume is not supported")
        reference = source[key]
        data = await read_data(self._client, resource, podspec.namespace(pod), reference)
        return _chosen(data or {}, reference)

    async def _token(self, pod: Object, wanted: Object) -> bytes:
        try:
            return await self._tokens.get(pod, wanted)
        except ApiError as error:
            raise ConfigError(f"failed to fetch token: {error}") from None


def rewrite(text: str, spec: Object, root: Path) -> str:
    """A word or value in which a mount path became the real folder; ``--flag=/mount/x`` is understood too."""
    head, equals, tail = text.partition("=")
    if equals and head.startswith("-"):
        return f"{head}={rewrite(tail, spec, root)}"
    mounts = sorted((m["mountPath"].rstrip("/") for m in podspec.volume_mounts(spec)), key=len, reverse=True)
    for mount in mounts:
        if mount and (text == mount or text.startswith(f"{mount}/")):
            return f"{root}{text}"
    return text


def _below(folder: Path, path: str) -> Path:
    """A path inside a folder, whatever it contains."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return folder.joinpath(*parts)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        if link.readlink() == target:
            return
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
    link.symlink_to(target)


def _chosen(data: Mapping[str, bytes], reference: Object) -> dict[str, bytes]:
    items = reference.get("items")
    if not items:
        return dict(data)
    missing = [item["key"] for item in items if item["key"] not in data]
    if missing and not reference.get("optional"):
        raise ConfigError(f"references non-existent config key: {missing[0]}")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def _downward(pod: Object, items: Iterable[Object], facts: Mapping[str, str]) -> dict[str, bytes]:
    files = {}
    for item in items:
        if reference := item.get("resourceFieldRef"):
            owner = podspec.container(pod, reference.get("containerName", "")) or {}
            files[item["path"]] = resource_field(owner, reference, facts).encode()
        else:
            files[item["path"]] = pod_field(pod, item["fieldRef"]["fieldPath"], facts).encode()
    return files


def _replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder hold exactly these files; a reader sees the old or the new contents of each."""
    wanted = {_below(folder, path): content for path, content in files.items()}
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(content)
            fresh.chmod(_DEFAULT_MODE)
            fresh.replace(path)
    for path in list(folder.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()

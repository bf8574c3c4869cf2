"""Finds the programs of a real control plane."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clients.errors import EnvironmentUnusable

VARIABLE = "KUBEBUILDER_ASSETS"
"""Where ``setup-envtest`` says that it put them; the other two are of the same Kubernetes release."""
_NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The paths of the four programs."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    scheduler: Path

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> Binaries:
        """The programs in ``$KUBEBUILDER_ASSETS``. Raises EnvironmentUnusable that names what is missing."""
        given = environment.get(VARIABLE, "")
        if not given:
            raise EnvironmentUnusable(
                "is not set", where=VARIABLE, remedy=f"name a folder with {', '.join(_NAMES[:-1])} and {_NAMES[-1]}"
            )
        folder = Path(given).absolute()
        missing = [name for name in _NAMES if not os.access(folder / name, os.X_OK) or not (folder / name).is_file()]
        if missing:
            raise EnvironmentUnusable(
                f"there is no program {' and no '.join(missing)} in {folder}",
                where=VARIABLE,
                remedy="setup-envtest brings etcd and kube-apiserver; take the others from the same release",
            )
        return cls(*(folder / name for name in _NAMES))

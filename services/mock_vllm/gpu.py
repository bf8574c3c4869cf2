"""The mock GPU: what the server does to it, kept in a small file that `nvidia-smi` in the same container reads."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.mock_vllm.logs import ENGINE


@dataclass(frozen=True)
class GpuState:
    """One reading of the GPU.

    Attributes:
        memory_total_bytes, memory_used_bytes: its memory.
        utilization: share of the time it is busy (0-1).
        clock: share of its full clock that is left (0-1); below 1 it is throttled.
        process_id: who uses it; 0 is nobody.
    """

    memory_total_bytes: int = 24 * 2**30
    memory_used_bytes: int = 0
    utilization: float = 0.0
    clock: float = 1.0
    process_id: int = 0


def state_path(environ: Mapping[str, str]) -> Path:
    """Where the server of this container leaves the state; containers differ in address or temporary folder."""
    folder = environ.get("TMPDIR") or tempfile.gettempdir()
    return Path(folder) / f"mock-gpu-{environ.get('POD_IP') or 'local'}.json"


def write_state(path: Path, state: GpuState) -> None:
    """Replace the state in one go; a reader sees the old one or the new one. A server goes on without it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(asdict(state)))
        draft.replace(path)
    except OSError as error:
        ENGINE.warning("nvidia-smi will not show this server: %s", error)


def read_state(path: Path) -> GpuState:
    """The last state; an idle GPU if no server has run or the one that wrote it is gone."""
    try:
        state = GpuState(**json.loads(path.read_text()))
        os.kill(state.process_id, 0)
    except (OSError, ValueError, TypeError):
        return GpuState()
    return state if state.process_id else GpuState()

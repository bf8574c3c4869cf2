"""`nvidia-smi` of the image: tells what the mock GPU of this container is doing.

Knows the plain table, `-L`, and `--query-gpu=... --format=csv[,noheader][,nounits]`; anything else ends with exit
code 6, as an unknown option does in the real tool.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from services.mock_vllm.gpu import GpuState, read_state, state_path

_NAME = "NVIDIA RTX 6000 Ada Generation"
_UUID = "GPU-6d6f636b-0000-4000-8000-000000000000"
_DRIVER = "580.82.07"
_FULL_CLOCK_MHZ = 2505
_IDLE_CLOCK_MHZ = 210
_IDLE_WATTS, _FULL_WATTS = 24, 300
_MIB = 2**20
_EXIT_BAD_OPTION = 6
_COLUMNS = (42, 25, 24)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was asked for; returns the exit code.

    Args:
        arguments: the words after the program's name; those of the process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    state = read_state(state_path(os.environ))
    query, layout, listing = _parse(words)
    if query is None and not listing and words:
        print(f"Invalid combination of input arguments: {' '.join(words)}. Please run 'nvidia-smi -h' for help.")
        return _EXIT_BAD_OPTION
    if listing:
        print(f"GPU 0: {_NAME} (UUID: {_UUID})")
    elif query is not None:
        return _print_query(query, layout, state)
    else:
        print(_table(state))
    return 0


def _parse(words: list[str]) -> tuple[list[str] | None, list[str], bool]:
    """Queried fields, words of the format, and whether a list of GPUs is wanted."""
    query: list[str] | None = None
    layout: list[str] = []
    for word in words:
        if word.startswith("--query-gpu="):
            query = [name.strip() for name in word.partition("=")[2].split(",")]
        elif word.startswith("--format="):
            layout = [part.strip() for part in word.partition("=")[2].split(",")]
    return query, layout, words in (["-L"], ["--list-gpus"])


def _clock_mhz(state: GpuState) -> int:
    return round(_FULL_CLOCK_MHZ * state.clock) if state.utilization else _IDLE_CLOCK_MHZ


def _watts(state: GpuState) -> float:
    return _IDLE_WATTS + (_FULL_WATTS - _IDLE_WATTS) * state.utilization * state.clock


def _celsius(state: GpuState) -> int:
    """A throttled GPU is a hot one."""
    return 90 if state.clock < 1 else 35 + round(40 * state.utilization)


_Field = tuple[str, Callable[[GpuState], str]]
_FIELDS: dict[str, _Field] = {
    "index": ("", lambda _: "0"),
    "count": ("", lambda _: "1"),
    "name": ("", lambda _: _NAME),
    "uuid": ("", lambda _: _UUID),
    "driver_version": ("", lambda _: _DRIVER),
    "timestamp": ("", lambda _: datetime.now().strftime("%Y/%m/%d %H:%M:%S.000")),
    "pstate": ("", lambda state: "P0" if state.utilization else "P8"),
    "memory.total": ("MiB", lambda state: str(state.memory_total_bytes // _MIB)),
    "memory.used": ("MiB", lambda state: str(state.memory_used_bytes // _MIB)),
    "memory.free": ("MiB", lambda state: str((state.memory_total_bytes - state.memory_used_bytes) // _MIB)),
    "utilization.gpu": ("%", lambda state: str(round(100 * state.utilization))),
    "temperature.gpu": ("", lambda state: str(_celsius(state))),
    "power.draw": ("W", lambda state: f"{_watts(state):.2f}"),
    "clocks.sm": ("MHz", lambda state: str(_clock_mhz(state))),
    "clocks.current.sm": ("MHz", lambda state: str(_clock_mhz(state))),
    "clocks.max.sm": ("MHz", lambda _: str(_FULL_CLOCK_MHZ)),
    "clocks_throttle_reasons.active": ("", lambda state: f"0x{0x20 if state.clock < 1 else 0:016x}"),
    "clocks_event_reasons.active": ("", lambda state: f"0x{0x20 if state.clock < 1 else 0:016x}"),
}


def _print_query(names: list[str], layout: list[str], state: GpuState) -> int:
    if "csv" not in layout:
        print('"--format=" switch is missing. Please run "nvidia-smi --help-query-gpu" for help.')
        return _EXIT_BAD_OPTION
    unknown = [name for name in names if name not in _FIELDS]
    if unknown:
        print(f'Field "{unknown[0]}" is not a valid field to query.')
        return _EXIT_BAD_OPTION
    with_units = "nounits" not in layout
    if "noheader" not in layout:
        print(", ".join(_header(name, with_units) for name in names))
    print(", ".join(_cell(name, state, with_units) for name in names))
    return 0


def _header(name: str, with_units: bool) -> str:
    unit = _FIELDS[name][0]
    return f"{name} [{unit}]" if unit and with_units else name


def _cell(name: str, state: GpuState, with_units: bool) -> str:
    unit, value = _FIELDS[name]
    return f"{value(state)} {unit}" if unit and with_units else value(state)


def _table(state: GpuState) -> str:
    """The table of a call without options, in the tool's layout."""
    used, total = state.memory_used_bytes // _MIB, state.memory_total_bytes // _MIB
    performance = "P0" if state.utilization else "P8"
    health = f" 30%  {_celsius(state):>3}C  {performance:>4}  {_watts(state):>13.0f}W / {_FULL_WATTS:>4}W "
    process = f"    0   N/A  N/A  {state.process_id:>15}      C   VLLM::EngineCore  {used:>28}MiB "
    rule = "+" + "-" * sum(_COLUMNS, len(_COLUMNS) - 1) + "+"
    return "\n".join(
        [
            datetime.now().strftime("%a %b %e %H:%M:%S %Y"),
            rule,
            _row(f" NVIDIA-SMI {_DRIVER}       Driver Version: {_DRIVER}      CUDA Version: 13.0"),
            rule,
            _row(f"   0  {_NAME:<31} Off ", "00000000:01:00.0 Off ", "Off "),
            _row(health, f"{used}MiB / {total}MiB ", f"{round(100 * state.utilization)}%      Default "),
            rule,
            _row(" Processes:"),
            _row(process if state.process_id else "  No running processes found"),
            rule,
        ]
    )


def _row(first: str, *others: str) -> str:
    """One line: a text over the full width, or one cell for each column."""
    if not others:
        return f"|{first:<{sum(_COLUMNS, len(_COLUMNS) - 1)}}|"
    cells = [
        f"{first:<{_COLUMNS[0]}}",
        *(f"{cell:>{width}}" for cell, width in zip(others, _COLUMNS[1:], strict=True)),
    ]
    return f"|{'|'.join(cells)}|"

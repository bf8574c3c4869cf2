"""What admin-cli prints: tables, JSON and CSV on stdout."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from clients.registry import RegistryEntry

FORMATS = ("table", "json", "csv")
Column = tuple[str, str]

LIST_COLUMNS: tuple[Column, ...] = (
    ("ID", "id"),
    ("Model Name", "model_name"),
    ("Endpoint", "endpoint"),
    ("Status", "status"),
    ("Environment", "environment"),
    ("Namespace", "namespace"),
    ("Last Health", "last_health"),
    ("Updated", "updated_at"),
)
STATUS_COLUMNS: tuple[Column, ...] = (
    ("Model Name", "model_name"),
    ("Status", "status"),
    ("Endpoint", "endpoint"),
    ("Namespace", "namespace"),
    ("Last Health", "last_health"),
    ("Updated", "updated_at"),
)
JSON_FIELDS = (
    "id",
    "model_name",
    "endpoint",
    "status",
    "environment",
    "namespace",
    "last_health",
    "created_at",
    "updated_at",
    "reason",
    "owner",
)


def render(entries: Sequence[RegistryEntry], columns: Sequence[Column], output_format: str) -> str:
    """The entries in one of ``FORMATS``, ending with a line break."""
    if output_format == "json":
        return _as_json(entries)
    rows = [[title for title, _ in columns], *([_cell(entry, field) for _, field in columns] for entry in entries)]
    return _as_csv(rows) if output_format == "csv" else _as_table(rows)


def _as_json(entries: Sequence[RegistryEntry]) -> str:
    data = [{field: getattr(entry, field) for field in JSON_FIELDS} for entry in entries]
    envelope = {"success": True, "timestamp": datetime.now(UTC).isoformat(timespec="seconds"), "data": data}
    return json.dumps(envelope, indent=2) + "\n"


def _as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _as_table(rows: list[list[str]]) -> str:
    rows.insert(1, ["--"] * len(rows[0]))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


def _cell(entry: RegistryEntry, field: str) -> str:
    value = getattr(entry, field)
    if field in {"last_health", "updated_at"}:
        return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M") if value else "never"
    return str(value)

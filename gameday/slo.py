"""The objectives a run is judged against."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clients.errors import InputError


class Slo(BaseModel):
    """Service level objectives; durations in seconds, ratios 0-1 (see ``slo/gameday.yaml`` for the sources)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_p95_seconds: float = Field(gt=0)
    error_ratio: float = Field(ge=0, le=1)
    recovery_seconds: float = Field(gt=0)
    settling_window_seconds: float = Field(gt=0)
    minimum_samples: int = Field(ge=1)
    load_lag_seconds: float = Field(gt=0)
    load_on_time_ratio: float = Field(gt=0, le=1)

    @classmethod
    def load(cls, path: Path) -> Slo:
        """Read objectives from YAML. Raises InputError that names the file and the key."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()) or {})
        except OSError as error:
            raise InputError(f"cannot read the objectives: {error.strerror}", where=str(path)) from error
        except yaml.YAMLError as error:
            raise InputError("the objectives are not valid YAML", where=str(path), remedy=str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise InputError(first["msg"], where=f"{path}: {key}", remedy="correct the objectives") from error

"""What load to offer: rate, mix and lengths, read from YAML or given by the conductor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clients.errors import InputError


class LoadProfile(BaseModel):
    """An open-model load: arrivals do not wait for answers.

    Shares and ratios are 0-1, durations are seconds, the rate is requests per second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "llama-2-7b"
    rate_per_second: float = Field(default=12.0, gt=0, le=5_000)
    arrivals: Literal["steady", "poisson"] = "poisson"
    seed: int = 7
    chat_share: float = Field(default=0.4, ge=0, le=1)
    stream_share: float = Field(default=0.5, ge=0, le=1)
    max_tokens_low: int = Field(default=4, ge=1)
    max_tokens_high: int = Field(default=16, ge=1)
    timeout_seconds: float = Field(default=10.0, gt=0)
    lag_limit_seconds: float = Field(default=0.02, gt=0)

    @classmethod
    def load(cls, path: Path) -> LoadProfile:
        """Read a profile from YAML. Raises InputError that names the file and the key."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()) or {})
        except OSError as error:
            raise InputError(f"cannot read the load profile: {error.strerror}", where=str(path)) from error
        except yaml.YAMLError as error:
            raise InputError("the load profile is not valid YAML", where=str(path), remedy=str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise InputError(first["msg"], where=f"{path}: {key}", remedy="correct the load profile") from error

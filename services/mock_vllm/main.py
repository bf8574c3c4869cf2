"""The entry point that the image's `vllm` command and `vllm.entrypoints.openai.api_server` module call."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from clients.errors import InputError
from services.mock_vllm.lifecycle import live
from services.mock_vllm.logs import configure_logging
from services.mock_vllm.options import parse_command_line
from services.mock_vllm.settings import read_settings

EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server and return its exit code (2 for bad input; the others as in `lifecycle.live`).

    Args:
        arguments: the words after the program's name; those of the process by default.
    """
    try:
        settings = read_settings(os.environ)
    except InputError as error:
        print(f"vllm: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    options = parse_command_line(sys.argv[1:] if arguments is None else arguments, settings, os.environ)
    configure_logging()
    return asyncio.run(live(options, settings))


if __name__ == "__main__":
    sys.exit(main())

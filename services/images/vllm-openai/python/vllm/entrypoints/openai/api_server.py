"""The module that the image is started with: `python3 -m vllm.entrypoints.openai.api_server --model=...`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[6]))

from services.mock_vllm.main import main

if __name__ == "__main__":
    sys.exit(main())

"""A cluster of the provider ``envtest`` whose binaries are stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.provider import Cluster
from cluster.providers.envtest import EnvtestProvider
from tests.cluster.envtest.standins import write_programs
from tests.endtoend.harness import leftovers, wait_for

SERVER = """\
#!/usr/bin/env python3
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = os.environ["HOSTNAME"] + " " + os.environ["POD_IP"]
        self.send_response(200); self.end_headers(); self.wfile.write(answer.encode())
    def log_message(self, *_): pass
print("serving", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins that ``KUBEBUILDER_ASSETS`` names."""
    folder = write_programs(tmp_path / "assets")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    return folder


@pytest.fixture
def provider(tmp_path: Path, assets: Path) -> EnvtestProvider:
    """With one image, ``test/web``, that serves its pod's name on port 8000."""
    program = tmp_path / "images" / "bin" / "web"
    program.parent.mkdir(parents=True)
    program.write_text(SERVER)
    program.chmod(0o755)
    path = tmp_path / "images" / "images.yaml"
    path.write_text('images: [{repository: test/web, tags: ["*"], entrypoint: [web], bin: bin}]')
    return EnvtestProvider(path)


@pytest.fixture
def running(provider: EnvtestProvider, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that runs; afterwards nothing of it is left."""
    cluster = provider.up("one", state_dir=tmp_path / "one", detached=False)
    try:
        yield cluster
    finally:
        provider.down(tmp_path / "one")
        wait_for(lambda: leftovers(tmp_path) == [], seconds=5)

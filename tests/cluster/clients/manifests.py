"""What the tests of real clients run: images, nodes and manifests."""

from __future__ import annotations

NODES = (
    "nodes: [{name: node-1, cpu: 8}, {name: node-2, cpu: 8}]\n"
    "restart_backoff_base_seconds: 0.5\nmetrics_window_seconds: 1\n"
)

_WEB = """\
#!/usr/bin/env python3
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        size = int(self.path.rpartition("size=")[2]) if "size=" in self.path else 0
        self._answer(b"x" * size or os.environ["HOSTNAME"].encode())
    def do_POST(self):
        self._answer(b"%d bytes" % len(self.rfile.read(int(self.headers["Content-Length"]))))
    def log_message(self, *_): pass
print("serving", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""

_TICK = """\
#!/bin/sh
i=0
while true; do i=$((i+1)); echo "tick $i"; echo "tock $i" >&2; sleep 0.2; done
"""

IMAGES = {
    "bin/web": _WEB,
    "bin/tick": _TICK,
    "images.yaml": 'images: [{repository: lab/app, tags: ["v1", "v2"], entrypoint: [web], bin: bin}]\n',
}

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: lab/app:v1
        ports: [{name: http, containerPort: 8000}]
        readinessProbe: {httpGet: {port: 8000}, periodSeconds: 1}
        resources: {requests: {cpu: 100m, memory: 32Mi}}
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: one}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: lab/app:v1
    readinessProbe: {httpGet: {port: 8000}, periodSeconds: 1}
"""

TWO = """
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: app, image: "lab/app:v1"}
  - {name: ticker, image: "lab/app:v1", command: [tick]}
"""

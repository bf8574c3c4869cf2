"""The node agent: runs each container as a real process.

`agent` follows the pods of the node, `pod` runs one pod, `container` one container through its restarts,
`instance` one run of it. `status` derives what the API shows; `processes`, `watchdog` and `memory` are the runtime;
`probing` and `probes` ask for the health of containers; `environment`, `volumes` and `images` prepare what runs.
"""

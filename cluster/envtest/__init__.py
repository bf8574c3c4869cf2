"""A control plane of real binaries on loopback, with our nodes and network attached to it."""

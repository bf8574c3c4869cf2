"""Places pods on nodes by requests, selectors and taints."""

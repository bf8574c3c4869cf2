"""A Kubernetes cluster in one unprivileged process: API, controllers, scheduler, node agent, network."""

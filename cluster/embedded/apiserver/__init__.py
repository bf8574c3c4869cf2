"""The Kubernetes API: store, REST, watches, patches, discovery."""

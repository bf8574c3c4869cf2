"""What runs inside the pods: mock vLLM, API router, model registry."""

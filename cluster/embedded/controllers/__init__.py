"""The controllers that a vLLM deployment needs, each a client of the API."""

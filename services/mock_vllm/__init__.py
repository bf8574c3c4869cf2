"""A vLLM server without a GPU: it takes a real server's command lines, and time and memory like one."""

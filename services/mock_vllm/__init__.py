"""A vLLM server without a GPU: real command lines, endpoints, metrics and failures, and a model of mere memory.

Overload, slow first tokens, memory kills and failed loads are to *happen* in a pod instead of being reported.

| module | what it knows |
|---|---|
| `options.py`, `flags.py` | the command line of `vllm serve` |
| `settings.py` | the physics of the mock: `MOCK_VLLM_*` variables |
| `faults.py` | what can be broken at run time |
| `loading.py` | the model: memory, load time, failures of a load |
| `engine.py` | the scheduler: continuous batching, KV cache, preemption; pure, its clock is an argument |
| `engine_loop.py` | runs the engine on timers |
| `text.py`, `protocol.py` | prompts, answers, requests and errors in vLLM's shapes |
| `api.py`, `completions.py`, `streaming.py` | HTTP |
| `metrics.py` | Prometheus metrics under vLLM's names |
| `lifecycle.py`, `main.py` | from the command line to the exit code |
"""

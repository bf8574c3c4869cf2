"""The runbook, executed: observe, diagnose, decide, plan, act, validate."""

"""Where a game day runs: cluster providers, and the embedded cluster itself."""

"""Who makes a request: bearer tokens, tokens of ServiceAccounts, impersonation."""

"""What a remediation really asked of the world: a recording proxy before the API server, registry and router, and the
envelope that every call is held to.
"""

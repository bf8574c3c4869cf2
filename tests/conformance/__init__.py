"""The embedded cluster, held to recordings of a real one."""

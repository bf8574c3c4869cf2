"""The registry of record: which model is served where, and whether traffic may go there."""

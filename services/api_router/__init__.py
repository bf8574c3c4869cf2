"""The one door for clients: authenticates, finds where a model is served, and passes the answer through."""

"""The node agent: runs each container as a real process."""

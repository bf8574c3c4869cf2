"""What breaks: one Chaos Toolkit experiment per failure and the activities they call."""

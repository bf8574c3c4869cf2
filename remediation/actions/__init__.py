"""What a remediation can do, one class for each action.

An action is a value: what is to be done. It knows the command line that a person would type for it, how to do it
without doing it twice, and how to undo it.
"""

"""The three ways to change part of an object: JSON patch, JSON merge patch and strategic merge patch.

Each takes the current object and a patch, and returns a new object that shares the parts the patch does not touch.
"""

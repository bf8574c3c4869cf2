"""Stands where the real package of this name is in the image."""

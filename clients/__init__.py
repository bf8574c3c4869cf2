"""Thin clients of the systems a game day touches; the bottom layer, which imports no other room."""

"""Tests of the API machinery: recordings of a real server, life cycle, patches, selectors."""

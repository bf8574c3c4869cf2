"""The providers of clusters; `embedded` needs nothing but this package."""

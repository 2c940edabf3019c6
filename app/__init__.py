"""The explorer: pages over cfcore."""

"""Drawings of a plan: the hosts of a cluster, and what would go where."""

"""The checks behind the rules: each yields what breaks it, and nothing when it holds.

They share no code with the planner, so that neither can hide a fault of the other.
"""

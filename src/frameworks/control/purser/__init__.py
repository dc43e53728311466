"""Purser knows what a tenant may use: the limits of its plan, and whether it is suspended.

It promises one answer per tenant and never guesses a plan; it refuses to change anything for anyone but an operator.
"""

"""The small worlds of the lab, one folder each: a task, its verifier, and everything else that belongs to them.

A world adds its names to the registries of tasks and verifiers (`labkit.registry`) in its `__init__`. A registry
imports all worlds when it is first used, so an `__init__` imports as little as possible.
"""

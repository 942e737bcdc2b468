"""The small worlds that the lab is about, one folder each: task, verifier, and all else that belongs to it.

A world adds its names to the registries of tasks and verifiers (`labkit.registry`) in its `__init__`, which imports
nothing else: a registry imports all worlds when it is first asked.
"""

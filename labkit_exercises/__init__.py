"""The exercises of the notebooks, one module for each: content, which `labkit.exercises` checks.

A module defines `EXERCISE` (`labkit.exercises.Exercise`): what is asked, cases, a solution, and the mistakes that its
check can name. To add one, put a module here: `labkit.exercises` finds it.
"""

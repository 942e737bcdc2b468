"""The kinds of faults that `tests.fault_campaign` tries."""

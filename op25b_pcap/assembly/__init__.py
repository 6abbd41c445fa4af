"""Kept rows to flows in columns: the usual course by kernels, everything else by `flows`."""

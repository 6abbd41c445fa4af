"""Packets to flows: attempts, their state and outcome, and the octets they carried."""

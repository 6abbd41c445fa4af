"""Records to packets: the engines."""

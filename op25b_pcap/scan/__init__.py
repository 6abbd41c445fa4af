"""The fast engine: common stacks of headers decided without Scapy, all else handed to it."""

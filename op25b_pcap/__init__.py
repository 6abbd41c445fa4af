"""op25b_pcap: what Outbound Port 25 Blocking does in packet captures."""

__version__ = "0.1.0"

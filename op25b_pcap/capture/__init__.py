"""Files to records: opening, decompressing, pcap, pcapng, and many files as one observation."""

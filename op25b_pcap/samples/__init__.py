"""The sample captures: one story each, made anew by `op25b-pcap samples`."""

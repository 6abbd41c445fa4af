"""`python -m op25b_pcap`: the same as the command `op25b-pcap`."""

from op25b_pcap.cli import main

if __name__ == "__main__":
    main()

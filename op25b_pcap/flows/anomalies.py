"""The named oddities of an attempt's packets, and what each means."""

from __future__ import annotations

ANOMALIES: dict[str, str] = {
    "bad_checksum": "a TCP checksum is wrong; the packet counts all the same",
    "truncated": "packets were captured in part only",
    "captured_twice": "packets stand in the captures more than once; each is counted once",
    "no_timestamp": "packets bear no time",
    "one_sided": "packets of one side only, though it must have been answered",
    "gap": "octets that were sent, or acknowledged, stand in no packet",
    "overlap_conflict": "the same octets were sent again with other content; the first counts",
    "out_of_window": "data so far away by its number that it cannot belong here",
    "bad_syn_ack": "the SYN-ACK acknowledges another number than the SYN's",
    "flag_combination": "a packet with two of SYN, FIN and RST",
    "data_in_syn": "a SYN that carries data (RFC 7413, or worse)",
    "icmp_quote_cut": "an ICMP error quotes too little to be sure that it means this attempt",
    "icmp_after_answer": "an ICMP error that should have stopped an attempt that was answered",
}

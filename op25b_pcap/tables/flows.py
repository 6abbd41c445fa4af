"""The `flows` table: one row per TCP connection attempt on a mail port.

Three stages fill it, each only adding columns: `flows` says what the wire shows, `roles` who
is who, `rules` what the policy says to that.
"""

from __future__ import annotations

from op25b_pcap.tables.table import Column, Table
from op25b_pcap.wire.services import SERVICES

OUTCOMES = (
    "connected",
    "no_answer",
    "refused",
    "prohibited",
    "unreachable",
    "half_open",
    "midstream",
)
ROLES = (
    "dynamic",
    "static",
    "smarthost",
    "local_mx",
    "mx",
    "third_party_relay",
    "submission_server",
    "mailbox_server",
    "router",
    "unknown",
)
ROLE_EVIDENCE = ("policy", "dns_mx", "dialogue", "behaviour", "port", "assumed")
DIRECTIONS = ("outbound", "inbound", "internal", "transit", "unknown")
TRAFFIC_CLASSES = (
    "smarthost",
    "direct_to_mx",
    "third_party_relay",
    "submission",
    "retrieval",
    "local_mx",
    "server_to_server",
    "inbound_smtp",
    "internal",
    "transit",
    "unknown",
)
ACTIONS = ("allow", "block", "none")
FINDINGS = (
    "blocked",
    "leak",
    "intercepted",
    "allowed",
    "disrupted",
    "inconclusive",
    "out_of_scope",
)
CONFIDENCES = ("proven", "likely", "unknown")
CONN_STATES = (
    "S0",
    "S1",
    "SF",
    "REJ",
    "S2",
    "S3",
    "RSTO",
    "RSTR",
    "RSTOS0",
    "RSTRH",
    "SH",
    "SHR",
    "OTH",
)

WIRE_COLUMNS = (
    Column("flow_id", "string", "16 hex digits naming the attempt, however the capture is split"),
    Column("community_id", "string", "Community ID v1, seed 0, of the innermost 5-tuple"),
    Column("start_time", "timestamp", "time of the first packet"),
    Column("end_time", "timestamp", "time of the last packet"),
    Column("src_ip", "string", "innermost address of the host that opened, canonical text (RFC 5952)"),
    Column("dst_ip", "string", "innermost address of the host that was called"),
    Column("src_port", "uint16", "TCP port of the opener"),
    Column("dst_port", "uint16", "TCP port that was called"),
    Column("ip_version", "uint8", "4 or 6, of the innermost packet"),
    Column(
        "encapsulation",
        "string",
        "layers around the innermost IP packet, outer to inner, e.g. `vlan:100/pppoe:17`, "
        "`ipip6` (IPv4 in IPv6), `sit` (IPv6 in IPv4); empty if none, null in a log that does not say",
        nullable=True,
    ),
    Column(
        "subscriber_key",
        "string",
        "who pays: src_ip, or the outer address or PPPoE session where a tunnel hides it",
    ),
    Column(
        "initiator_evidence",
        "string",
        "how the opener is known: its SYN, the answer's SYN-ACK, or only the port numbers",
        words=("syn", "syn_ack", "port"),
    ),
    Column("service", "string", "IANA service name of dst_port", words=tuple(SERVICES.values())),
    Column(
        "conn_state",
        "string",
        "Zeek's connection state, with Zeek's meaning",
        nullable=True,
        words=CONN_STATES,
    ),
    Column(
        "history",
        "string",
        "Zeek's history letters: upper case the opener, lower case the called",
        nullable=True,
    ),
    Column("syn_packets", "uint32", "SYNs of this attempt, retransmissions included", nullable=True),
    Column("src_packets", "uint64", "packets sent by the opener", nullable=True),
    Column("dst_packets", "uint64", "packets sent by the called host", nullable=True),
    Column(
        "src_bytes",
        "uint64",
        "octets of TCP payload sent by the opener, each sequence number once",
        nullable=True,
    ),
    Column("dst_bytes", "uint64", "octets of TCP payload sent by the called host, each once", nullable=True),
    Column("handshake_rtt_ms", "float64", "milliseconds from SYN to SYN-ACK", nullable=True),
    Column("outcome", "string", "what the wire shows became of the attempt", nullable=True, words=OUTCOMES),
    Column("icmp_type", "uint8", "type of the ICMP error that quoted this attempt", nullable=True),
    Column("icmp_code", "uint8", "its code", nullable=True),
    Column("icmp_from", "string", "address of the host that sent it", nullable=True),
)
ROLE_COLUMNS = (
    Column("src_role", "string", "role of the opener", words=ROLES),
    Column("dst_role", "string", "role of the called host", words=ROLES),
    Column("dst_role_evidence", "string", "the rung of evidence behind dst_role", words=ROLE_EVIDENCE),
    Column("direction", "string", "seen from the access network", words=DIRECTIONS),
    Column("traffic_class", "string", "which path of mail this is", words=TRAFFIC_CLASSES),
    Column("op25b_case", "uint8", "1 to 4, the four cases of Outbound Port 25 Blocking", nullable=True),
)
RULE_COLUMNS = (
    Column("policy_action", "string", "what the policy says to this path", words=ACTIONS),
    Column("rule_ids", "list<string>", "the rules that decided"),
    Column("finding", "string", "policy and outcome together", words=FINDINGS),
    Column("confidence", "string", "how sure the finding is", words=CONFIDENCES),
    Column("evidence", "list<string>", "named facts behind finding and confidence"),
)
PLACE_COLUMNS = (
    Column("anomalies", "list<string>", "named oddities of the packets"),
    Column("capture", "string", "file name of the capture that holds the first packet"),
    Column("first_packet", "uint64", "1-based number of the first packet in that capture"),
)
FACT_COLUMNS = (
    Column("src_ttl", "uint8", "TTL or Hop Limit of the opener's first packet", nullable=True),
    Column(
        "dst_ttl", "uint8", "TTL or Hop Limit of the called host's first packet that is no RST", nullable=True
    ),
    Column("rst_ttl", "uint8", "TTL or Hop Limit of the first RST from the called side", nullable=True),
    Column(
        "answer_ms", "float64", "milliseconds from the SYN to the first answer of any kind", nullable=True
    ),
    Column("watched_s", "float64", "seconds the observation went on after the attempt's last packet"),
    Column(
        "outer_src_ip", "string", "outer address on the opener's side of an IP-in-IP tunnel", nullable=True
    ),
    Column(
        "dst_mx_of",
        "list<string>",
        "domains whose MX the capture's DNS answers had named dst_ip before; of many the first 16",
    ),
    Column(
        "dst_names",
        "list<string>",
        "host names that the capture's DNS answers had given dst_ip before; of many the first 16",
    ),
    Column(
        "src_mx_lookups",
        "uint32",
        "domains whose exchangers DNS had told the subscriber, in the whole capture; null if none",
        nullable=True,
    ),
)

FLOWS = Table(
    "flows",
    "one row per TCP connection attempt on a mail port",
    WIRE_COLUMNS + ROLE_COLUMNS + RULE_COLUMNS + PLACE_COLUMNS + FACT_COLUMNS,
)

"""Expected words that several stories share: what the wire shows, which path of mail, what follows."""

from __future__ import annotations

DONE = {"outcome": "connected", "conn_state": "SF"}
SILENCE = {"outcome": "no_answer", "conn_state": "S0"}
REFUSED = {"outcome": "refused", "conn_state": "REJ"}
PROHIBITED = {"outcome": "prohibited", "conn_state": "S0"}
NO_DIALOGUE = {"banner_code": None, "helo": None, "transactions": 0, "result": "no_dialogue"}

_DYNAMIC_OUT = {"src_role": "dynamic", "direction": "outbound"}
BY_SMARTHOST = _DYNAMIC_OUT | {
    "dst_role": "smarthost",
    "dst_role_evidence": "policy",
    "traffic_class": "smarthost",
    "policy_action": "allow",
    "finding": "allowed",
    "confidence": "proven",
}
DIRECT_TO_MX = _DYNAMIC_OUT | {
    "dst_role": "mx",
    "dst_role_evidence": "dns_mx",
    "traffic_class": "direct_to_mx",
    "op25b_case": 3,
    "policy_action": "block",
}
BY_FRIEND = _DYNAMIC_OUT | {
    "dst_role": "third_party_relay",
    "dst_role_evidence": "policy",
    "traffic_class": "third_party_relay",
    "op25b_case": 4,
    "policy_action": "block",
}
SUBMISSION = _DYNAMIC_OUT | {
    "dst_role": "submission_server",
    "traffic_class": "submission",
    "op25b_case": 4,
    "policy_action": "allow",
}
RETRIEVAL = _DYNAMIC_OUT | {
    "dst_role": "mailbox_server",
    "traffic_class": "retrieval",
    "op25b_case": None,
    "policy_action": "allow",
    "finding": "allowed",
}
BLOCKED = {"finding": "blocked"}
LEAK = {"finding": "leak"}
ALLOWED = {"finding": "allowed"}

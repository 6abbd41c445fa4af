"""One attempt in words that can be read out to a customer; or all attempts of a subscriber.

In: the tables of a report folder, and what rules and evidence mean. Out: lines of plain text.
Nothing is said that the tables do not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from op25b_pcap.faults import UsageFault
from op25b_pcap.tables.columns import coded
from op25b_pcap.tables.everywhere import Everywhere, Known
from op25b_pcap.tables.table import to_frame

Tables = Mapping[str, pd.DataFrame]
Row = Mapping[Any, Any]

_ROLES = {
    "dynamic": "a subscriber with a dynamic address",
    "static": "a customer with a static address",
    "smarthost": "the provider's relay (smarthost)",
    "local_mx": "the provider's inbound server",
    "mx": "a mail exchanger",
    "third_party_relay": "somebody else's relay",
    "submission_server": "a submission server outside",
    "mailbox_server": "a mailbox server",
    "router": "a router",
    "unknown": "of unknown role",
}
_RUNGS = {
    "policy": "as the policy says",
    "dns_mx": "as DNS answers in the capture say",
    "dialogue": "as the dialogue shows",
    "behaviour": "as its behaviour shows",
    "port": "by its port",
    "assumed": "which is assumed, for want of better evidence",
}
_OUTCOMES = {
    "connected": "The connection was made.",
    "no_answer": "Nothing came back.",
    "refused": "It was refused with a TCP reset.",
    "prohibited": "An ICMP error said that it is prohibited.",
    "unreachable": "An ICMP error said that there is no way there.",
    "half_open": "It was answered, but never completed by the opener.",
    "midstream": "How it began was not seen.",
}
_UNKNOWN = "What became of it is not known from this log."
_COUNTED = {
    "syn_packets": "number of SYNs",
    "src_packets": "packets there",
    "src_bytes": "octets there",
    "dst_packets": "packets back",
    "dst_bytes": "octets back",
    "conn_state": "Zeek's state",
    "history": "Zeek's history",
}
"""What every capture tells, but not every log."""
_WIRE = {
    "connected": "somebody answered",
    "no_answer": "silence",
    "refused": "TCP reset",
    "prohibited": "ICMP: prohibited",
    "unreachable": "ICMP: unreachable",
    "half_open": "never completed",
    "midstream": "begin not seen",
}
_CUT = "cut off after the handshake"
_CASES = {
    1: "Case 1: a mail client that sends through its provider's server.",
    2: "Case 2: a home server that relays through its provider's server.",
    3: "Case 3: sending straight to the addressee's server.",
    4: "Case 4: sending through somebody else's server.",
}
_OR_ELSE = {
    3: "Case 3, or 2 if that is its provider's server: sending straight to the addressee's server.",
    4: "Case 4, or 1 or 2 if that is its provider's server: sending through somebody else's server.",
}
"""The same, where nobody has said which servers are the provider's."""
_NO_CASE = {
    "local_mx": "Calling the provider's own inbound server.",
    "internal": "Sending from subscriber to subscriber.",
}
_FINDINGS = {
    "blocked": "blocked: the policy blocks this, and it did not get through.",
    "leak": "leak: the policy blocks this, and it got through.",
    "intercepted": "intercepted: the policy blocks this, and somebody else answered in its place.",
    "allowed": "allowed: the policy allows this, and the network let it through.",
    "disrupted": "disrupted: the policy allows this, and the network stopped it.",
    "inconclusive": "inconclusive: it cannot be told.",
    "out_of_scope": "out of scope: the policy says nothing to this.",
}
_LEAK_ASSUMED = "leak: it got through, so port 25 is open here."
"""The same, where nobody has said what is blocked."""
_ADVICE = {
    "direct_to_mx": "Send through the provider's relay instead (as smarthost), or from a static address.",
    "third_party_relay": "Use the submission port of that server (587 or 465) instead of port 25.",
    "local_mx": "Hand the mail to the provider's relay instead.",
}
_RESULTS = {
    "delivered": "At least one message was taken.",
    "rejected": "The server refused in SMTP.",
    "opaque": "The rest is hidden by TLS.",
    "aborted": "It ended before a message was sent.",
    "no_dialogue": "Nothing was said.",
}
_UNSEEN = {
    "opaque": "What the server said to that was not captured.",
    "no_dialogue": "What was said is no SMTP, or packets were cut when captured (not so by tcpdump -s 0).",
}
"""The same, where there was no TLS, and where octets were counted."""
_REFUSED, _FOR_GOOD = 400, 500
"""The least codes of refusals, and of those that are final."""
_NOT_SURE = "unknown"
_DISRUPTED = (
    "The policy allows {traffic_class}, and the network stopped it: {told}. Have the filter looked at."
)

_ALIKE = (
    "service",
    "src_role",
    "dst_role",
    "dst_role_evidence",
    "outcome",
    "traffic_class",
    "finding",
    "confidence",
)
"""Attempts with the same words there, in their evidence and of their dialogue's end are told of once."""
_MOST_NAMED = 10
"""Attempts like another one that are named; of a bot there may be thousands."""

_ADVISED_BY = ("policy_action", "traffic_class", "op25b_case", "finding", "outcome", "confidence")


def explain(tables: Tables, wanted: str, rules: Mapping[str, str], facts: Mapping[str, str]) -> list[str]:
    """The lines about one flow (its id), or about all from and to one subscriber (its key) or host.

    Of attempts that are alike the first is told of, and the others are named. `rules` and `facts` hold
    meanings by id and by name. Raises UsageFault if neither is there.
    """
    flows = tables["flows"]
    ends = (flows["subscriber_key"] == wanted) | (flows["src_ip"] == wanted) | (flows["dst_ip"] == wanted)
    chosen = flows[(flows["flow_id"] == wanted) | ends]
    if chosen.empty:
        raise UsageFault(f"no flow and no subscriber {wanted!r} in these reports")
    sessions = tables["smtp_sessions"]
    results = dict(zip(sessions["flow_id"], sessions["result"], strict=True))
    kinds: dict[Any, list[Row]] = {}
    for row in chosen.to_dict("records"):
        names = tuple(fact.partition(":")[0] for fact in row["evidence"])
        kind = (*(row[name] for name in _ALIKE), names, results.get(row["flow_id"]))
        kinds.setdefault(kind, []).append(row)
    lines = [] if wanted in set(chosen["flow_id"]) else [*_subscriber(tables["subscribers"], wanted)]
    for first, *others in kinds.values():
        lines += [*([""] if lines else []), *_flow(first, tables, rules, facts), *_others(others)]
    return lines


def _others(rows: Sequence[Row]) -> Iterator[str]:
    """Attempts that are like the one before."""
    if rows:
        yield f"  And {_several(len(rows), 'attempt')} like it:"
    for row in rows[:_MOST_NAMED]:
        yield f"    {row['flow_id']}  {_time(row['start_time'])}  {row['src_ip']} to {row['dst_ip']}"
    if len(rows) > _MOST_NAMED:
        yield f"    and {len(rows) - _MOST_NAMED} more, the last at {_time(rows[-1]['start_time'])}"


def tell_advice(flows: pd.DataFrame, everywhere: Everywhere) -> None:
    """What attempts tell of how many are to be advised of what."""
    everywhere.each(
        "advice", {"flows": ("sum", np.ones(len(flows)))}, *(coded(flows[name]) for name in _ADVISED_BY)
    )


def advise(known: Known, *, assumed: bool) -> list[str]:
    """What was stopped, by the four cases, by what, and what to do instead; a line for each. And what
    was to be let through, and was not.

    `assumed`: nobody wrote a policy, so that nothing that got through is anybody's fault.
    """
    counted = to_frame(known["advice"].rename_columns([*_ADVISED_BY, "flows"]))
    blocked = counted[counted["policy_action"] == "block"]
    lines = []
    for traffic_class, group in blocked.groupby("traffic_class", sort=True):
        case = group["op25b_case"].dropna()
        cases = _CASES | _OR_ELSE if assumed else _CASES
        what = cases[int(case.iloc[0])] if len(case) else _NO_CASE.get(str(traffic_class), "Other paths.")
        passed = group["finding"] == "leak"
        told = [*_counted(group[~passed])]
        stopped = len(told)
        if passed.any():
            told.append(
                f"{group.loc[passed, 'flows'].sum()} "
                + ("got through: port 25 is open here" if assumed else "leaked")
            )
        advice = _ADVICE.get(str(traffic_class), "") if stopped else ""
        lines.append(f"{what} {'; '.join(told)}. {advice}".rstrip())
    disrupted = counted[counted["finding"] == "disrupted"]
    for traffic_class, group in disrupted.groupby("traffic_class", sort=True):
        told_of = "; ".join(_counted(group))
        lines.append(_DISRUPTED.format(traffic_class=traffic_class, told=told_of))
    return lines


def _counted(attempts: pd.DataFrame) -> Iterator[str]:
    """How many attempts have a finding, and what the wire said; where the rules are not sure, that."""
    unsure = (attempts["confidence"] == _NOT_SURE) & (attempts["finding"] != "inconclusive")
    by = attempts.assign(unsure=unsure).groupby(["finding", "outcome", "unsure"], sort=True, dropna=False)
    for row in by["flows"].sum().reset_index().to_dict("records"):
        is_cut = row["outcome"] == "connected" and row["finding"] in ("blocked", "disrupted")
        wire = _CUT if is_cut else _WIRE.get(row["outcome"], "not known from this log")
        yield f"{row['flows']} {row['finding']} ({wire}{'; not sure' if row['unsure'] else ''})"


def _subscriber(subscribers: pd.DataFrame, key: str) -> Iterator[str]:
    for row in subscribers[subscribers["subscriber_key"] == key].to_dict("records"):
        yield (
            f"Subscriber {key}: {_several(row['flows'], 'attempt')} to "
            f"{_several(row['distinct_destinations'], 'host')}, "
            f"{row['blocked']} blocked, {row['leaked']} leaked{_if_any(row, 'intercepted', 'disrupted')}; "
            f"{_several(row['messages_accepted'], 'message')} accepted, "
            f"{_several(row['recipients'], 'recipient')}."
        )
        if row["profile"] != "unknown":
            yield f"Profile: {row['profile']} ({', '.join(row['reasons'])})."


def _if_any(row: Row, *names: str) -> str:
    """What is seldom, where there is any."""
    return "".join(f", {row[name]} {name}" for name in names if row[name])


def _several(count: int, one: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def _flow(row: Row, tables: Tables, rules: Mapping[str, str], facts: Mapping[str, str]) -> Iterator[str]:
    yield f"Attempt {row['flow_id']}: {_time(row['start_time'])} UTC"
    yield (
        f"  {row['src_ip']} port {row['src_port']} called {row['dst_ip']} port {row['dst_port']} "
        f"({row['service']})."
    )
    yield f"  The caller is {_ROLES[row['src_role']]}."
    yield f"  The called host is {_ROLES[row['dst_role']]}, {_RUNGS[row['dst_role_evidence']]}.{_names(row)}"
    if row["encapsulation"]:
        yield f"  It travelled in {row['encapsulation']}; who pays is {row['subscriber_key']}."
    yield f"  {_OUTCOMES.get(row['outcome'], _UNKNOWN)} {_packets(row)}".rstrip()
    if untold := [meaning for name, meaning in _COUNTED.items() if _is_null(row[name])]:
        yield f"  Not known from this log: {', '.join(untold)}."
    if not _is_null(row["icmp_from"]):
        yield f"  The error (type {row['icmp_type']} code {row['icmp_code']}) came from {row['icmp_from']}."
    yield from _dialogue(row, tables)
    is_assumed = "policy_assumed" in row["evidence"]
    if not _is_null(row["op25b_case"]):
        yield f"  {(_CASES | _OR_ELSE if is_assumed else _CASES)[row['op25b_case']]}"
    for rule in row["rule_ids"]:
        yield f"  Rule {rule}: {rules.get(rule, 'the policy file decides.')}"
    finding = _LEAK_ASSUMED if is_assumed and row["finding"] == "leak" else _FINDINGS[row["finding"]]
    yield f"  Finding: {finding} ({row['confidence']})"
    for fact in row["evidence"]:
        name, _, figures = fact.partition(":")
        yield f"    - {facts.get(name, name)}" + (f" ({figures})" if figures else "")
    if row["policy_action"] == "block" and row["finding"] != "leak" and row["traffic_class"] in _ADVICE:
        yield f"  What to do instead: {_ADVICE[row['traffic_class']]}"
    if len(row["anomalies"]):
        yield f"  Odd about its packets: {', '.join(row['anomalies'])}."
    yield f"  First packet: number {row['first_packet']} of {row['capture']}."


def _packets(row: Row) -> str:
    """How much went there and came back, as far as it is known."""
    syns, state = row["syn_packets"], row["conn_state"]
    repeated = "" if _is_null(syns) or syns < 2 else f" ({syns} SYNs)"
    ways = (_amount(row, "src", repeated, "went there"), _amount(row, "dst", "", "came back"))
    zeek = "" if _is_null(state) else f"Zeek would write {state}"
    told = "; ".join(part for part in (", ".join(filter(None, ways)), zeek) if part)
    return f"{told}." if told else ""


def _amount(row: Row, side: str, repeated: str, way: str) -> str:
    packets, octets = row[f"{side}_packets"], row[f"{side}_bytes"]
    told = [] if _is_null(packets) else [_several(packets, "packet") + repeated]
    told += [] if _is_null(octets) else [_several(octets, "octet")]
    return f"{' with '.join(told)} {way}" if told else ""


def _names(row: Row) -> str:
    if len(row["dst_mx_of"]):
        return f" It takes mail for {', '.join(row['dst_mx_of'])}."
    return f" DNS names it {', '.join(row['dst_names'])}." if len(row["dst_names"]) else ""


def _dialogue(flow: Row, tables: Tables) -> Iterator[str]:
    flow_id = flow["flow_id"]
    smtp, mails = tables["smtp_sessions"], tables["smtp_transactions"]
    for row in smtp[smtp["flow_id"] == flow_id].to_dict("records"):
        if not _is_null(row["banner_code"]):
            yield f"  The server greeted: {row['banner_code']} {_first_line(row['banner_text'])}"
        if not _is_null(row["helo"]):
            yield f"  The client called itself {row['helo']}."
        if row["tls"] != "none":
            yield f"  TLS ({row['tls']}) to {_or(row['tls_sni'], 'a server without a name')} began."
        yield from _login(row)
        for mail in mails[mails["flow_id"] == flow_id].to_dict("records"):
            yield (
                f"  Mail {mail['transaction_index']} from {_or(mail['mail_from'], 'an unnamed sender')} to "
                f"{_several(len(mail['rcpt_reply_codes']), 'recipient')}: {_answer(mail)}."
            )
        if not _is_null(row["last_reply_code"]):
            told = (row["last_reply_code"], row["last_enhanced_code"], _first_line(row["last_reply_text"]))
            yield f"  The server's last reply: {' '.join(str(part) for part in told if not _is_null(part))}"
        is_unseen = row["tls"] == "none" if row["result"] == "opaque" else _is_unread(row, flow)
        yield f"  {(_RESULTS | _UNSEEN if is_unseen else _RESULTS)[row['result']]}"
    retrieval = tables["retrieval_sessions"]
    for row in retrieval[retrieval["flow_id"] == flow_id].to_dict("records"):
        if not _is_null(row["greeting"]):
            yield f"  The server greeted: {_first_line(row['greeting'])}"
        if row["tls"] != "none":
            yield f"  TLS ({row['tls']}) began."
        yield from _login(row)


def _login(row: Row) -> Iterator[str]:
    login = {True: "with success", False: "in vain"}.get(row["auth_succeeded"], "with unknown success")
    if not _is_null(row["auth_mechanism"]):
        yield f"  The client logged in by {row['auth_mechanism']}, {login}."


def _answer(mail: Row) -> str:
    """What became of a mail; if it was refused, by what, and whether for good (RFC 5321 section 4.2.1)."""
    if mail["accepted"] is True:
        return "taken"
    if mail["accepted"] is not False:
        return "how it was answered is not known"
    codes = [code for code in (*mail["rcpt_reply_codes"], mail["reply_code"]) if not _is_null(code)]
    refusals = sorted({int(code) for code in codes if code >= _REFUSED})
    told = f" ({', '.join(map(str, refusals))})" if refusals else ""
    for_now = bool(refusals) and refusals[-1] < _FOR_GOOD
    return f"refused{' for now: to be tried again' if for_now else ''}{told}"


def _is_unread(row: Row, flow: Row) -> bool:
    """Whether octets passed of which nothing is known."""
    return _is_null(row["banner_code"]) and any(
        not _is_null(flow[name]) and flow[name] > 0 for name in ("src_bytes", "dst_bytes")
    )


def _time(moment: pd.Timestamp) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _first_line(text: Any) -> str:
    return "" if _is_null(text) else str(text).partition("\n")[0]


def _or(value: Any, otherwise: str) -> str:
    return otherwise if _is_null(value) else f"{value}" if value else "<>"


def _is_null(value: Any) -> bool:
    return value is None or bool(pd.isna(value))

"""Lines of Linux firewalls: times, prefixes, and what a logged packet does not tell."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from tests.flow_logs import FRIEND, HOME, START, STRANGER, packet, read, syslog

NOON = "Nov 24 07:13:31"


def one(log: bytes | str, **known) -> dict:
    found = read(log.encode() if isinstance(log, str) else log, **known)
    assert not found.damages
    (row,) = found.rows
    return row


def test_a_dropped_syn():
    row = one(syslog((NOON, packet())))
    assert (row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]) == (HOME, 48945, STRANGER, 25)
    assert (row["outcome"], row["conn_state"], row["history"]) == ("no_answer", "S0", "S")
    assert (row["syn_packets"], row["src_packets"], row["src_ttl"]) == (1, 1, 63)
    unknown = ("dst_packets", "src_bytes", "dst_bytes", "encapsulation", "handshake_rtt_ms", "icmp_from")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert (row["initiator_evidence"], row["anomalies"]) == ("syn", ["filter_dropped"])


STAMPS = [
    (f"{NOON} gw kernel: ", 0),
    (f"<4>{NOON} gw kernel: [12345.678901] ", 0),
    (f"{NOON}.250 gw kernel: ", 250),
    ("2025-11-24T07:13:31.250000+00:00 gw kernel: ", 250),
    ("2025-11-24T16:13:31.250+0900 gw kernel: [  1.000000] ", 250),
    ("<4>1 2025-11-24T16:13:31.25+09:00 gw kernel - - - [12345.678901] ", 250),
    ("<4>1 2025-11-24T07:13:31.25Z drop-gw kernel 1 ID7 [x@1 a=b] ", 250),
    ("2025-11-24 07:13:31 gw ulogd[77]: ", 0),
    ("[Mon Nov 24 07:13:31 2025] ", 0),
    (f"{START}.250000 gw kernel: ", 250),
    ("Mon Nov 24 07:13:31 2025 kern.warn kernel: [12345.678901] ", 0),
    ("Mon 2025-11-24 07:13:31 UTC gw kernel: ", 0),
    ("Mon 2025-11-24 16:13:31 +09 gw kernel: ", 0),
    ("Mon 2025-11-24 12:43:31 +0530 gw kernel: ", 0),
    ("Nov 24 2025 07:13:31 gw kernel: ", 0),
    ("Nov 24 2025 07:13:31.25 gw kernel: ", 250),
]


@pytest.mark.parametrize(("stamp", "ms"), STAMPS)
def test_times_in_every_form(stamp, ms):
    row = one(stamp + packet())
    assert row["start_time"] == START * 10**9 + ms * 1_000_000
    assert row["anomalies"] == ["filter_dropped"]


@pytest.mark.parametrize("before", ["", "kern  :warn  : ", "<4>"])
def test_time_since_boot_alone(before):
    row = one(f"{before}[   12.500000] " + packet())
    assert (row["start_time"], row["anomalies"]) == (12_500_000_000, ["filter_dropped", "time_since_boot"])


@pytest.mark.parametrize(
    ("line", "written", "meant"),
    [
        ("Dec 31 23:59:59", "2026-01-01", "2025-12-31T23:59:59"),
        ("Jan  1 00:00:01", "2026-01-01", "2026-01-01T00:00:01"),
        ("Jan  2 08:00:00", "2026-01-01", "2026-01-02T08:00:00"),  # within a day: another zone's clock
        ("Jan  3 08:00:00", "2026-01-01", "2025-01-03T08:00:00"),
        ("Feb 29 12:00:00", "2026-03-01", "2024-02-29T12:00:00"),
    ],
)
def test_the_year_is_the_latest_that_the_file_allows(line, written, meant):
    written_ns = int(datetime.fromisoformat(written).replace(tzinfo=UTC, hour=12).timestamp()) * 10**9
    row = one(syslog((line, packet())), written_ns=written_ns)
    assert row["start_time"] == int(datetime.fromisoformat(meant + "+00:00").timestamp()) * 10**9


def test_the_zone_is_the_callers():
    row = one(syslog((NOON, packet())), zone=timezone(timedelta(hours=9)))
    assert row["start_time"] == (START - 9 * 3600) * 10**9


def test_the_short_name_of_a_zone_counts_where_the_caller_names_the_zone():
    line = "Mon 2025-11-24 16:13:31 JST gw kernel: " + packet()
    assert one(line, zone=ZoneInfo("Asia/Tokyo"))["start_time"] == START * 10**9
    ((_, reason),) = read(line.encode()).damages
    assert reason == "a line of a firewall: the name of a zone that is not known"
    winter = "Sun 2025-10-26 02:30:00 CET gw kernel: " + packet()  # the hour that comes twice
    assert one(winter, zone=ZoneInfo("Europe/Berlin"))["start_time"] == 1_761_442_200 * 10**9


def journal(message: object, **more: object) -> bytes:
    told = {"__REALTIME_TIMESTAMP": f"{START}250000", "_HOSTNAME": "drop-gw", "MESSAGE": message} | more
    return json.dumps(told).encode() + b"\n"


def test_the_journal_as_json():
    row = one(journal(packet()))
    assert (row["start_time"], row["outcome"]) == (START * 10**9 + 250_000_000, "no_answer")
    assert one(journal(packet(prefix="mail25 ")))["outcome"] is None
    both = journal(packet(SPT=1)) + journal("usb 1-1") + journal(list(packet(SPT=2).encode()))
    assert [row["src_port"] for row in read(both).rows] == [1, 2]


def test_a_damaged_line_of_the_journal_costs_itself():
    bad = [journal(packet())[:-3], journal({"a": packet()}), journal(packet(), __REALTIME_TIMESTAMP="x")]
    bad += [b'{"a":' * 100_000 + packet().encode() + b"\n", journal(packet()).replace(b"MESSAGE", b"M")]
    found = read(journal(packet(SPT=1)) + b"\n".join(bad))
    assert [row["src_port"] for row in found.rows] == [1]
    assert len(found.damages) == len(bad)


def test_without_a_year_nothing_is_guessed():
    found = read(syslog((NOON, packet())), written_ns=None)
    assert found.flows == []
    assert "a time without a year" in found.damages[0][1]


PREFIXES = [
    ("OP25B-DROP: ", "no_answer", ["filter_dropped"]),
    ("OP25B ", "no_answer", ["filter_dropped"]),
    ("[UFW BLOCK] ", "no_answer", ["filter_dropped"]),
    ("Shorewall:loc2net:DROP:", "no_answer", ["filter_dropped"]),
    ("denied ", "no_answer", ["filter_dropped"]),
    ("FINAL_REJECT: ", None, ["filter_rejected"]),
    ("reject wan out: ", None, ["filter_rejected"]),
    ("[UFW ALLOW] ", None, ["filter_passed"]),
    ("[UFW AUDIT] ", None, ["filter_passed"]),
    ("OP25B-ALLOW ", None, ["filter_passed"]),
    ("accept-or-drop ", None, []),
    ("mail25 ", None, []),
    ("unblocked bandwidth ", None, []),
    ("dropbear-host: ", None, []),
    ("blockade ", None, []),
    ("LOGDROP: ", "no_answer", ["filter_dropped"]),
    ("fw_DROPPED ", "no_answer", ["filter_dropped"]),
    ("InputDrop25:", "no_answer", ["filter_dropped"]),
    ("vrmr: DROP fw->ext ", "no_answer", ["filter_dropped"]),
    ("DROP: smtp-seen: ", "no_answer", ["filter_dropped"]),
    ("LogAccept ", None, ["filter_passed"]),
    ("NO_DROP_rejected ", None, []),
    ("", None, []),
]


@pytest.mark.parametrize(("prefix", "outcome", "anomalies"), PREFIXES)
def test_only_the_prefix_says_what_was_done(prefix, outcome, anomalies):
    row = one(syslog((NOON, packet(prefix=prefix))))
    assert (row["outcome"], row["anomalies"]) == (outcome, anomalies)
    assert row["conn_state"] == ("S0" if outcome else None)


BEFORE = [
    ("Nov 24 07:13:31 op25b-gw smtp-seen: ", None),
    ("Nov 24 07:13:31 drop-gw kernel: smtp-seen: ", None),
    ("Nov 24 07:13:31 drop-gw ", None),
    ("Nov 24 07:13:31 gw dropwatch[7]: smtp-seen: ", None),
    ("Nov 24 07:13:31 gw dropwatch: smtp-seen: ", None),
    ("2025-11-24T07:13:31.25Z drop-gw smtp-seen: ", None),
    ("Mon 2025-11-24 07:13:31 UTC drop-gw x: ", None),
    (f"{START}.250000 drop-gw x: ", None),
    ("Nov 24 07:13:31 drop-gw kern.warn kernel: [1.0] x ", None),
    ("Mon Nov 24 07:13:31 2025 drop-gw x: ", None),
    ("<4>1 2025-11-24T07:13:31Z drop-gw block-log 7 DROP [a@1 b=drop] x: ", None),
    ("<4>1 2025-11-24T07:13:31Z gw log - - - DROP: ", "no_answer"),
    ("Mon Nov 24 07:13:31 2025 user.notice fw: DROP: ", "no_answer"),
    ("Nov 24 07:13:31 gw DROP: ", "no_answer"),  # ulogd's own file
    ("Nov 24 07:13:31 gw fw: DROP: ", "no_answer"),
    ("Nov 24 07:13:31 DROP: ", "no_answer"),
    ("[12.5] DROP: ", "no_answer"),
    ("[Mon Nov 24 07:13:31 2025] DROP: ", "no_answer"),
    ("2025-11-24T07:13:31,250000+00:00 DROP: ", "no_answer"),
    ("Mon Nov 24 07:13:31 2025 kern.warn kernel: [12345.678901] DROP: ", "no_answer"),
]


@pytest.mark.parametrize(("before", "outcome"), BEFORE)
def test_neither_host_nor_tag_is_a_prefix(before, outcome):
    assert one(before + packet(prefix=""))["outcome"] == outcome


def test_the_whole_back_off_is_one_attempt():
    times = ("07:13:31", "07:13:32", "07:13:34", "07:13:38", "07:13:46", "07:14:02", "07:14:34", "07:16:34")
    row = one(syslog(*((f"Nov 24 {time}", packet(ID=number)) for number, time in enumerate(times))))
    assert (row["syn_packets"], row["first_packet"]) == (8, 1)
    assert row["end_time"] - row["start_time"] == 183 * 10**9
    later = syslog((NOON, packet()), ("Nov 24 07:17:31", packet()))
    assert len(read(later).rows) == 2


def test_two_rules_log_the_same_packet():
    row = one(syslog((NOON, packet(prefix="DROP ")), (NOON, packet(prefix="OP25B "))))
    assert (row["syn_packets"], row["anomalies"]) == (1, ["captured_twice", "filter_dropped"])


@pytest.mark.parametrize("order", [1, -1])
def test_a_rule_that_drops_has_the_last_word_on_a_packet(order):
    lines = [(NOON, packet(prefix=prefix)) for prefix in ("[audit] ", "DROP ")]
    row = one(syslog(*lines[::order]))
    assert (row["outcome"], row["syn_packets"]) == ("no_answer", 1)
    assert row["anomalies"] == ["captured_twice", "filter_dropped", "filter_passed"]


def test_one_syn_passed_and_one_dropped_is_not_known():
    row = one(syslog((NOON, packet(prefix="[audit] ")), ("Nov 24 07:13:32", packet(prefix="DROP "))))
    assert (row["outcome"], row["syn_packets"]) == (None, 2)


def test_every_socket_pair_is_an_attempt():
    pairs = [(48945, STRANGER), (48946, STRANGER), (48945, FRIEND)]
    log = syslog(*((NOON, packet(SPT=port, DST=host)) for port, host in pairs))
    assert len(read(log).rows) == 3


def test_ipv6_and_other_mail_ports():
    row = one(syslog((NOON, packet(SRC="2001:db8:100::9", DST="2001:db8:f::1", DPT=587))))
    assert (row["ip_version"], row["service"], row["src_ttl"]) == (6, "submission", 63)


def test_packets_that_open_nothing():
    row = one(syslog((NOON, packet("ACK FIN"))))
    assert (row["outcome"], row["initiator_evidence"], row["syn_packets"]) == ("midstream", "port", 0)
    answer = one(syslog((NOON, packet("ACK SYN", SRC=STRANGER, SPT=25, DST=HOME, DPT=48945))))
    assert (answer["src_ip"], answer["outcome"]) == (HOME, "midstream")
    assert (answer["initiator_evidence"], answer["src_packets"]) == ("syn_ack", None)


def test_what_is_not_about_mail_is_passed_over():
    quote = (
        "DROP IN=eth1 OUT=ppp0 SRC=192.0.2.1 DST=203.0.113.3 LEN=88 TTL=64 ID=1 PROTO=ICMP TYPE=3 CODE=13 "
        "[SRC=203.0.113.3 DST=198.51.100.25 LEN=60 TTL=63 ID=4711 DF PROTO=TCP SPT=48945 DPT=25 WINDOW=1 "
        "RES=0x00 SYN URGP=0 ]"
    )
    lines = [packet(DPT=443), packet().replace("PROTO=TCP", "PROTO=UDP"), quote, "usb 1-1: new device"]
    found = read(syslog(*((NOON, line) for line in lines)), kind="netfilter")
    assert (found.flows, found.damages) == ([], [])


def test_a_damaged_line_costs_itself():
    bad = [packet()[:-9], packet(SRC="203.0.113.256"), packet(SPT=99999), packet().replace("SRC=", "SRX=")]
    log = syslog(*((NOON, line) for line in bad), ("Nov 31 07:13:31", packet()), (NOON, packet(SPT=1)))
    found = read(log)
    assert [row["src_port"] for row in found.rows] == [1]
    assert [reason.removeprefix("a line of a firewall: ") for _, reason in found.damages] == [
        "it is cut",
        "no IP address",
        "no port",
        "no SRC=",
        "day is out of range for month",
    ]
    offsets = [offset for offset, _ in found.damages]
    assert offsets == sorted(offsets)
    assert offsets[:2] == [0, log.index(b"\n") + 1]

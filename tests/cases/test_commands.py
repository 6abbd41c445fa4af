"""What follows an analysis: other policies, comparisons, words, packets, drafts."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from op25b_pcap import compiled
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.cli import app
from op25b_pcap.samples.frames import SYN, TCP, ethernet, ip, tcp
from tests.lakes import in_parts, octets

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
POLICY = SAMPLES / "policy.toml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(folder: Path, query: str) -> list[tuple]:
    return duckdb.sql(query.replace("flows", f"'{folder}/flows.parquet'")).fetchall()


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "out"
    assert run("analyze", SAMPLES, "--policy", POLICY, "--out", out).exit_code == 0
    return out


@pytest.fixture(scope="module")
def stricter(reports) -> Path:
    """The same attempts under a policy that knows no smarthost."""
    policy = reports.parent / "stricter.toml"
    policy.write_text(POLICY.read_text().replace('smarthosts = ["192.0.2.25"]', "smarthosts = []"))
    out = reports.parent / "stricter"
    assert run("judge", reports, "--policy", policy, "--out", out).exit_code == 0
    return out


def flow_id(reports: Path, condition: str) -> str:
    ((found,),) = rows(reports, f"select flow_id from flows where {condition}")
    return found


def test_the_same_policy_says_the_same_again(reports, tmp_path):
    told = run("judge", reports, "--policy", POLICY, "--out", tmp_path / "again", "--csv")
    assert told.exit_code == 0
    columns = "flow_id, src_role, dst_role, traffic_class, op25b_case, policy_action, finding, evidence"
    query = f"select {columns} from flows order by all"
    assert rows(tmp_path / "again", query) == rows(reports, query)
    assert (tmp_path / "again" / "flows.csv").exists()
    assert run("compare", reports, tmp_path / "again").stdout == "nothing has changed\n"


def test_without_an_output_folder_judging_only_tells(reports):
    before = sorted(reports.parent.rglob("*"))
    told = run("judge", reports, "--policy", POLICY, "--json")
    assert sum(row["flows"] for row in json.loads(told.stdout)) == 43
    assert sorted(reports.parent.rglob("*")) == before


def test_run_json_names_the_policy_that_judged(reports, stricter):
    before, after = (json.loads((folder / "run.json").read_text()) for folder in (reports, stricter))
    assert before["inputs"] == after["inputs"]
    assert before["policy"]["digest"] != after["policy"]["digest"]
    assert before["policy"]["acl_rows"] > after["policy"]["acl_rows"]


def test_compare_says_whose_working_mail_would_be_lost(reports, stricter):
    found = json.loads(run("compare", reports, stricter, "--json").stdout)
    changed = {(row["by"], row["value"]): row["change"] for row in found["counts"]}
    assert changed["dst_role", "smarthost"] == -8
    lost = {(row["subscriber_key"], row["service"]): row["messages"] for row in found["collateral"]}
    assert lost["203.0.113.2", "smtp"] == 1
    assert ("203.0.113.5", "submission") not in lost
    moved = [row for row in found["moved"] if row["finding_before"] == "allowed"]
    assert {(row["policy_action_after"], row["finding_after"]) for row in moved} == {("block", "leak")}
    shown = run("compare", reports, stricter).stdout
    assert "Working mail that is blocked now" in shown


def test_explain_tells_one_attempt(reports):
    told = run("explain", reports, flow_id(reports, "src_ip = '203.0.113.8'")).stdout
    for sentence in (
        "203.0.113.8 port",
        "called 198.51.100.25 port 25 (smtp)",
        "a subscriber with a dynamic address",
        "a mail exchanger, as DNS answers in the capture say. It takes mail for example.com.",
        "The error (type 3 code 13) came from 192.0.2.1.",
        "Case 3: sending straight to the addressee's server.",
        "Rule OP25B-004",
        "blocked: the policy blocks this, and it did not get through. (proven)",
        "a router of the policy said so",
        "First packet: number 5 of 08-blocked-by-icmp/capture.pcap.",
    ):
        assert sentence in told


def test_explain_has_no_advice_for_who_got_through(tmp_path):
    assert run("analyze", SAMPLES / "02-case2-home-server-to-smarthost", "--out", tmp_path).exit_code == 0
    told = run("explain", tmp_path, "203.0.113.2").stdout
    assert "Case 3, or 2 if that is its provider's server" in told
    assert "Finding: leak: it got through, so port 25 is open here. (likely)" in told
    assert "What to do instead" not in told


def test_explain_tells_what_was_not_captured_from_what_was_hidden(reports):
    told = run("explain", reports, flow_id(reports, "src_ip = '203.0.113.18'")).stdout
    assert "What the server said to that was not captured." in told
    assert "TLS" not in told


def test_explain_tells_a_subscribers_whole_story(reports):
    told = run("explain", reports, "203.0.113.14").stdout
    assert told.startswith("Subscriber 203.0.113.14: 12 attempts to 12 hosts, 9 blocked, 3 leaked;")
    assert "Profile: bot_like" in told
    # Of attempts that are alike the first is told of, and the others are named.
    named = re.findall(r"^Attempt (\w{16}):|^    (\w{16})  ", told, re.M)
    ours = rows(reports, "select flow_id from flows where subscriber_key = '203.0.113.14'")
    assert sorted(first or other for first, other in named) == sorted(flow for (flow,) in ours)
    assert told.count("\nAttempt ") == 3
    assert "And 8 attempts like it:" in told


def test_a_terminal_folds_between_words(reports):
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("4H", 24, 60, 0, 0))
    command = [sys.executable, "-m", "op25b_pcap", "explain", reports, "203.0.113.4"]
    with subprocess.Popen(command, stdout=there, env={**os.environ, "COLUMNS": ""}) as process:
        os.close(there)
        told = b""
        with suppress(OSError):  # Linux says so that nobody writes any more
            while more := os.read(here, 1 << 16):
                told += more
        assert process.wait() == 0
    shown = told.decode().splitlines()
    assert max(map(len, shown)) <= 60
    assert " ".join(" ".join(shown).split()) == " ".join(
        run("explain", reports, "203.0.113.4").stdout.split()
    )


def test_explain_has_words_for_every_attempt(reports):
    for (found,) in rows(reports, "select flow_id from flows"):
        told = run("explain", reports, found)
        assert told.exit_code == 0
        assert "Finding: " in told.stdout
        assert "nan" not in told.stdout.lower()
        assert "None" not in told.stdout


def test_explain_without_a_name_lists_subscribers_worst_first(reports):
    told = run("explain", reports)
    keys = [line.split()[0] for line in told.stdout.splitlines()[3:] if line.strip()]
    order = "order by leaked desc, blocked desc, flows desc, subscriber_key limit 20"
    query = f"select subscriber_key from '{reports}/subscribers.parquet' {order}"
    assert keys == [key for (key,) in duckdb.sql(query).fetchall()]
    assert f"20 of 22 subscribers; one in words: op25b-pcap explain {reports} SUBSCRIBER_KEY" in told.stderr
    assert run("explain", reports, keys[0]).exit_code == 0
    assert [row["subscriber_key"] for row in json.loads(run("explain", reports, "--json").stdout)] == keys
    assert run("explain", reports / "none").exit_code == 2


def test_policy_check_says_what_counts_where_a_server_stands_in_two_lists(tmp_path):
    policy = tmp_path / "small.toml"
    policy.write_text('[servers]\nlocal_mx = ["192.0.2.25"]\nsmarthosts = ["192.0.2.25", "192.0.2.26"]\n')
    told = run("policy", "check", policy)
    assert told.exit_code == 0
    assert "192.0.2.25/32 stands in smarthosts and local_mx: it counts as smarthosts" in told.stderr
    assert "192.0.2.26" not in told.stderr


def test_damage_is_told_as_long_as_it_lies_in_the_inbox(tmp_path):
    inbox, call = tmp_path / "inbox", ("batch", tmp_path / "inbox", "--out", tmp_path / "lake")
    shutil.copytree(SAMPLES / "19-rotated", inbox)
    torn = inbox / "torn.pcap"
    torn.write_bytes((SAMPLES / "08-blocked-by-icmp" / "capture.pcap").read_bytes()[:-9])
    os.utime(torn, (1, 1))
    for code in (3, 3):
        told = run(*call, "--workers", "1")
        assert (told.exit_code, "torn.pcap: damaged" in told.stderr) == (code, True)
    torn.unlink()
    told = run(*call, "--workers", "1")
    assert (told.exit_code, "torn.pcap" in told.stderr, "1 damaged" in told.stderr) == (0, False, True)


def test_carved_packets_are_the_attempts_and_nothing_else(reports, tmp_path, monkeypatch):
    icmp = flow_id(reports, "src_ip = '203.0.113.8'")
    rotated = flow_id(reports, "src_ip = '203.0.113.19'")
    tunnelled = flow_id(reports, "src_ip = '192.168.1.16' and dst_port = 25")
    out = tmp_path / "proof.pcap"
    assert run("carve", reports, icmp, rotated, tunnelled, "-o", out).exit_code == 0
    assert run("analyze", out, "--policy", POLICY, "--out", tmp_path / "again").exit_code == 0
    columns = (
        "src_ip, dst_ip, outcome, syn_packets, src_packets, dst_packets, src_bytes, icmp_from, encapsulation"
    )
    query = f"select flow_id, {columns} from flows where flow_id in ('{icmp}', '{rotated}', '{tunnelled}')"
    carved = rows(tmp_path / "again", f"select flow_id, {columns} from flows")
    assert sorted(carved, key=str) == sorted(rows(reports, query), key=str)
    assert out.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(compiled, "WORTHWHILE", 0)
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)
    assert run("carve", reports, icmp, rotated, tunnelled, "-o", tmp_path / "fast.pcap").exit_code == 0
    assert (tmp_path / "fast.pcap").read_bytes() == out.read_bytes()


def test_reports_are_not_judged_into_themselves(reports):
    told = run("judge", reports, "--policy", POLICY, "--out", reports)
    assert (told.exit_code, "is what is to be judged" in told.stderr) == (2, True)


def test_what_a_log_tells_has_no_packets_to_carve(tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "fw.log").write_text(
        "Nov 30 10:00:00 gw kernel: DROP25: IN=lan OUT=wan SRC=203.0.113.9 DST=198.51.100.25 LEN=60 TOS=0x00 "
        "PREC=0x00 TTL=63 ID=1 DF PROTO=TCP SPT=40000 DPT=25 WINDOW=64240 RES=0x00 SYN URGP=0\n"
    )
    os.utime(tmp_path / "inbox" / "fw.log", (1, 1))
    lake = tmp_path / "lake"
    assert run("batch", tmp_path / "inbox", "--out", lake, "--workers", "1").exit_code == 0
    ((found,),) = duckdb.sql(f"select flow_id from '{lake}/flows/*/*.parquet'").fetchall()
    told = run("carve", lake, found, "-o", tmp_path / "proof.pcap")
    assert (told.exit_code, "a log: it has no packets" in told.stderr) == (2, True)
    assert not (tmp_path / "proof.pcap").exists()


def test_a_lone_first_fragment_is_carved_itself(tmp_path):
    ends = ("203.0.113.3", "198.51.100.25")
    lone, _ = in_parts(
        ip(*ends, TCP, tcp(ends, (40001, 25), (1, 0), SYN, 65535, payload=bytes(16)), 64, 1), 3, 7
    )
    lone = Record(0, 1, 1_700_000_000_000_000_000, 1, 0, 14 + len(lone), ethernet(lone, True))
    later = lone._replace(time_ns=lone.time_ns + 40_000_000_000, data=bytes(60), length=60)
    (tmp_path / "lone.pcap").write_bytes(octets([lone, later]))
    assert run("analyze", tmp_path / "lone.pcap", "--out", tmp_path / "out").exit_code == 0
    found = flow_id(tmp_path / "out", "dst_port = 25")
    assert run("carve", tmp_path / "out", found, "-o", tmp_path / "proof.pcap").exit_code == 0
    assert [record.data for record in Observation([tmp_path / "proof.pcap"])] == [lone.data]


@pytest.mark.oracle
def test_tshark_reads_what_was_carved(reports, tmp_path):
    out = tmp_path / "proof.pcap"
    run("carve", reports, flow_id(reports, "src_ip = '203.0.113.8'"), "-o", out)
    command = ["tshark", "-n", "-r", out, "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert shown[1::2] == ["203.0.113.8", "192.0.2.1,203.0.113.8"]
    assert shown[0].startswith("1760770800.02")


def test_a_source_that_is_no_longer_the_same_is_not_carved(tmp_path):
    capture = tmp_path / "a.pcap"
    capture.write_bytes((SAMPLES / "08-blocked-by-icmp" / "capture.pcap").read_bytes())
    out = tmp_path / "out"
    assert run("analyze", capture, "--out", out).exit_code == 0
    found = flow_id(out, "true")
    capture.write_bytes(capture.read_bytes() + b"more")
    told = run("carve", out, found, "-o", tmp_path / "proof.pcap")
    assert (told.exit_code, (tmp_path / "proof.pcap").exists()) == (2, False)
    assert "when it was analysed" in told.stderr
    capture.unlink()
    assert "cannot be read again" in run("carve", out, found, "-o", tmp_path / "proof.pcap").stderr


def test_a_drafted_policy_is_sound_and_finds_the_smarthost(tmp_path):
    drafted = run("policy", "init", SAMPLES)
    assert drafted.exit_code == 0
    policy = tmp_path / "draft.toml"
    policy.write_text(drafted.stdout)
    checked = run("policy", "check", policy)
    assert (checked.exit_code, "is sound" in checked.stdout) == (0, True)
    assert '"192.0.2.25",  # 6 subscriber(s) on smtp' in drafted.stdout
    assert '"203.0.113.0/24",' in drafted.stdout
    assert "198.51.100.40" not in drafted.stdout
    assert not re.search(r"\b0 (subscriber|opener|attempt)", drafted.stdout)


def test_a_draft_of_one_subscriber_is_sound(tmp_path):
    drafted = run("policy", "init", SAMPLES / "03-case3-direct-to-mx")
    (tmp_path / "draft.toml").write_text(drafted.stdout)
    assert '"203.0.113.0/24",  # 1 opener(s), 2 attempt(s)' in drafted.stdout
    assert run("policy", "check", tmp_path / "draft.toml").exit_code == 0


def test_captures_without_the_attempt_are_not_needed_to_carve_it(tmp_path):
    captures = tmp_path / "captures"
    shutil.copytree(SAMPLES / "19-rotated", captures / "rotated")
    shutil.copy(SAMPLES / "08-blocked-by-icmp" / "capture.pcap", captures)
    assert run("analyze", captures, "--out", tmp_path / "out").exit_code == 0
    (found,) = (flow_id(tmp_path / "out", f"src_ip = '203.0.113.{end}'") for end in (8,))
    (captures / "rotated" / "capture-1.pcap").unlink()
    assert run("carve", tmp_path / "out", found, "-o", tmp_path / "proof.pcap").exit_code == 0
    rotated = flow_id(tmp_path / "out", "src_ip = '203.0.113.19'")
    assert "cannot be read again" in run("carve", tmp_path / "out", rotated, "-o", "-").stderr


def test_carved_packets_go_through_a_pipe(reports, tmp_path):
    found = flow_id(reports, "src_ip = '203.0.113.8'")
    assert run("carve", reports, found, "-o", tmp_path / "proof.pcap").exit_code == 0
    command = [sys.executable, "-m", "op25b_pcap", "carve", reports, found, "-o", "-"]
    (tmp_path / "carved").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    records = [[*Observation([tmp_path / name])] for name in ("carved", "proof.pcap")]
    assert len(records[0]) > 1
    assert records[0] == records[1]


def test_a_carved_capture_is_what_its_name_says_if_it_can_be(reports, tmp_path):
    found = flow_id(reports, "src_ip = '203.0.113.8'")
    tunnelled = flow_id(reports, "src_ip = '192.168.1.16' and dst_port = 25")
    others = [name for (name,) in rows(reports, "select flow_id from flows")]
    for name, flows, magic in (
        ("one.pcap", [found], b"\xd4\xc3\xb2\xa1"),
        ("one.pcapng", [found], b"\n\r\r\n"),
        ("tunnel.pcap", [tunnelled], b"\xd4\xc3\xb2\xa1"),
        ("all.pcap", others, b"\x4d\x3c\xb2\xa1"),  # in nanoseconds
    ):
        assert run("carve", reports, *flows, "-o", tmp_path / name).exit_code == 0
        assert (tmp_path / name).read_bytes()[:4] == magic
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        shown = subprocess.run(["tcpdump", "-r", tmp_path / name], check=True, capture_output=True).stdout
        assert len(shown.splitlines()) >= len([*Observation([tmp_path / name])]) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "all.pcap",
        "one.pcap",
        "one.pcapng",
        "tunnel.pcap",
    ]


def test_lakes_can_be_asked_like_reports(reports, tmp_path):
    lake = tmp_path / "lake"
    assert run("batch", SAMPLES, "--policy", POLICY, "--out", lake, "--workers", "1").exit_code == 0
    assert run("compare", reports, lake).stdout == "nothing has changed\n"
    for key in ("203.0.113.14", flow_id(reports, "finding = 'leak' limit 1")):
        assert run("explain", lake, key).stdout == run("explain", reports, key).stdout
    again = tmp_path / "again"
    assert run("judge", lake, "--policy", POLICY, "--out", again).exit_code == 0
    assert rows(again, "select * from flows order by all") == rows(
        reports, "select * from flows order by all"
    )
    found = flow_id(reports, "src_ip = '203.0.113.8'")
    assert run("carve", lake, found, "-o", tmp_path / "proof.pcap").exit_code == 0


def test_a_lake_says_when_its_policy_is_forgotten(tmp_path):
    call = ("batch", SAMPLES / "19-rotated", "--out", tmp_path / "lake", "--workers", "1")
    assert "before, all was judged" not in run(*call, "--policy", POLICY).stderr
    assert "before, all was judged by policy 'example-isp'" in run(*call).stderr
    assert "before, all was judged" not in run(*call).stderr


def test_what_was_stopped_is_told_by_whoever_judges(reports, tmp_path):
    told = run("batch", SAMPLES, "--policy", POLICY, "--out", tmp_path / "lake", "--workers", "1").stderr
    assert "Case 3: sending straight to the addressee's server. 12 blocked (silence)" in told
    told = run("judge", reports, "--policy", POLICY).stderr
    assert "Case 3: sending straight to the addressee's server. 12 blocked (silence)" in told


def test_no_worker_is_hired_for_an_inbox_that_is_not_there(tmp_path):
    told = run("batch", tmp_path / "nosuch", "--out", tmp_path / "lake", "--workers", "2")
    assert (told.exit_code, told.stderr) == (2, f"nothing to read: there is no '{tmp_path / 'nosuch'}'\n")


def test_a_zone_that_is_none_is_a_sentence(tmp_path):
    told = run("batch", SAMPLES, "--out", tmp_path / "lake", "--log-zone", "Asia/Kyoto")
    sentence = "--log-zone: no zone has the name 'Asia/Kyoto': say one of IANA's, such as Asia/Tokyo\n"
    assert (told.exit_code, told.stderr) == (2, sentence)
    assert not (tmp_path / "lake").exists()


def test_an_object_store_that_refuses_is_a_sentence(tmp_path, monkeypatch):
    from botocore.exceptions import NoCredentialsError

    def refused(*_):
        raise NoCredentialsError

    monkeypatch.setattr("op25b_pcap.batch.run.pieces", refused)
    told = run("batch", SAMPLES, "--out", tmp_path / "lake", "--workers", "1")
    assert (told.exit_code, told.stderr) == (2, "the object store: Unable to locate credentials\n")


def test_who_sees_no_bar_is_told_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr("op25b_pcap.cli.LINE_EVERY_S", 0)
    told = run("analyze", SAMPLES / "19-rotated", "--out", tmp_path / "out").stderr
    assert re.match(r"reading: [\d.]+ \w+ of [\d.]+ kB\n", told)


def test_reports_and_lakes_do_not_overwrite_each_other(reports, tmp_path):
    lake = tmp_path / "lake"
    assert run("batch", SAMPLES / "19-rotated", "--out", lake, "--workers", "1").exit_code == 0
    for wrong, sentence in (
        (("analyze", SAMPLES, "--out", lake), "is a lake that `batch` keeps"),
        (("judge", reports, "--policy", POLICY, "--out", lake), "is a lake that `batch` keeps"),
        (("batch", SAMPLES, "--out", reports, "--workers", "1"), "is a folder of reports"),
        (("batch", lake, "--out", lake, "--workers", "1"), "lies in the lake itself"),
    ):
        told = run(*wrong)
        assert (told.exit_code, sentence in told.stderr) == (2, True), told.stderr
    assert not (reports / "manifest.parquet").exists()
    assert not (lake / "flows.parquet").exists()


def test_without_a_policy_a_case_is_not_stated_as_if_it_were_known(tmp_path):
    told = run("analyze", SAMPLES / "02-case2-home-server-to-smarthost", "--out", tmp_path / "out").stderr
    assert "Case 3, or 2 if that is its provider's server" in told


def test_the_gate(tmp_path):
    leak = SAMPLES / "13-leak-over-ipv6"
    arguments = ("analyze", leak, "--policy", POLICY, "--out", tmp_path / "out", "--fail-on")
    assert run(*arguments, "leak").exit_code == 1
    assert (tmp_path / "out" / "run.json").exists()
    assert run(*arguments, "intercepted").exit_code == 0
    assert run(*arguments, "intercepted", "--fail-on", "leak").exit_code == 1


def test_a_capture_is_not_overwritten_by_what_is_carved_out_of_it(tmp_path):
    capture = tmp_path / "a.pcap"
    capture.write_bytes((SAMPLES / "08-blocked-by-icmp" / "capture.pcap").read_bytes())
    before = capture.read_bytes()
    assert run("analyze", capture, "--out", tmp_path / "out").exit_code == 0
    told = run("carve", tmp_path / "out", flow_id(tmp_path / "out", "true"), "-o", capture)
    assert (told.exit_code, capture.read_bytes() == before) == (2, True)
    assert "would be overwritten" in told.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", None),
        ("run.json", b"[]"),
        ("run.json", b'{"inputs": [{}]}'),
        ("run.json", b"{"),
        ("flows.parquet", None),
        ("flows.parquet", b"PAR1"),
        ("flows.parquet", "summary.parquet"),
    ],
)
def test_a_folder_that_is_not_finished_or_not_ours(reports, tmp_path, name, content):
    folder = tmp_path / "reports"
    shutil.copytree(reports, folder)
    if content is None:
        (folder / name).unlink()
    else:
        octets = content if isinstance(content, bytes) else (reports / content).read_bytes()
        (folder / name).write_bytes(octets)
    for arguments in (
        ("judge", folder, "--policy", POLICY),
        ("compare", reports, folder),
        ("explain", folder, "203.0.113.3"),
        ("carve", folder, "0000000000000000", "-o", tmp_path / "out.pcap"),
    ):
        told = run(*arguments)
        assert (told.exit_code, told.stdout) == (2, "")
        assert str(folder) in told.stderr

"""Real mail servers behind a real filter: the tool must find what the clients came to know."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.lab import mangling
from tests.lab import network as lab
from tests.lab.network import FILTERS, Network, why_not
from tests.lab.notes import Attempt, Transaction
from tests.lab.servers import PASSWORD, USER, Servers
from tests.lab.stories import POLICY, SEEN_AS, WAYS, Play, play_dialogues, play_ways

pytestmark = pytest.mark.lab

PLAYS = [*FILTERS, "dialogues"]
Key = tuple[str, int, str, int]
Row = dict[str, object]

of_each_play = pytest.mark.parametrize("name", PLAYS)
under_each_filter = pytest.mark.parametrize("name", FILTERS)
on_each_side = pytest.mark.parametrize("place", ["inside", "outside"])


@pytest.fixture(scope="session")
def plays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Play]:
    """Everything played once: the ways of mail under each filter, and the dialogues."""
    if reason := why_not():
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("lab")
    with Network() as network, Servers(network) as servers:
        played = {name: play_ways(network, servers, name, place / name) for name in FILTERS}
        played["dialogues"] = play_dialogues(network, servers, place / "dialogues")
    return played


class Reports:
    """What `analyze` wrote about one capture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flows = self._by_key("flows")
        self.sessions = self._by_key("smtp_sessions") | self._by_key("retrieval_sessions")
        self.transactions: dict[object, list[Row]] = {}
        for row in self._rows("smtp_transactions"):
            self.transactions.setdefault(row["flow_id"], []).append(row)

    def _rows(self, table: str) -> list[Row]:
        return pq.read_table(self.folder / f"{table}.parquet").to_pylist()

    def _by_key(self, table: str) -> dict[Key, Row]:
        rows = self._rows(table)
        found = {(row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]): row for row in rows}
        assert len(found) == len(rows), f"{table}: an attempt stands there twice"
        return found


class Tool:
    """`op25b-pcap analyze`, run as a user does; each capture once in every way it is asked for."""

    def __init__(self, plays: dict[str, Play], folder: Path) -> None:
        self._plays, self._folder = plays, folder
        self.reports: dict[tuple[str, str, bool], Reports] = {}

    def of(self, name: str, place: str, *, policy: bool = True) -> Reports:
        """The reports of a play, captured at that place."""
        asked = (name, place, policy)
        if asked not in self.reports:
            capture = getattr(self._plays[name], place)
            observed = "outside" if place == "outside" else "inside"
            self.reports[asked] = self.read(capture, f"{name}-{place}-{policy}", observed if policy else None)
        return self.reports[asked]

    def read(self, capture: Path, out: str, observed: str | None = "inside") -> Reports:
        """The reports of any capture, under the lab's policy unless `observed` is None."""
        options: list[str | Path] = []
        if observed is not None:
            policy = self._folder / f"{observed}.toml"
            policy.write_text(POLICY.format(place=observed))
            options = ["--policy", policy]
        folder = self._folder / out
        command = [sys.executable, "-m", "op25b_pcap", "analyze", capture, "--out", folder]
        done = subprocess.run(
            [*command, "--csv", "--envelope", "full", *options], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return Reports(folder)


@pytest.fixture(scope="session")
def tool(plays: dict[str, Play], tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return Tool(plays, tmp_path_factory.mktemp("reports"))


def key_of(attempt: Attempt, *, behind_nat: bool = False) -> Key:
    """Where the attempt stands in the reports; `behind_nat` in those of a capture in the home."""
    src = attempt.src_ip if behind_nat else SEEN_AS.get(attempt.src_ip, attempt.src_ip)
    return src, attempt.src_port, attempt.dst_ip, attempt.dst_port


def differences(story: str, expected: Row, found: Row) -> list[str]:
    """One sentence for each column that is not as the client knows it."""
    return [
        f"{story}: {column} is {found.get(column)!r}, not {value!r}"
        for column, value in expected.items()
        if found.get(column) != value
    ]


def misread(attempt: Attempt, reports: Reports, key: Key) -> list[str]:
    """What is wrong about an attempt's session and its transactions."""
    session = reports.sessions.get(key, {})
    if attempt.partly is not None:
        return differences(attempt.story, attempt.partly, session)
    if attempt.retrieval is not None:
        return differences(attempt.story, vars(attempt.retrieval), session)
    if attempt.smtp is None:
        return []
    wrong = differences(attempt.story, attempt.smtp.columns(), session)
    rows = reports.transactions.get(session.get("flow_id"), [])
    for row, said in zip(rows, attempt.smtp.transactions, strict=False):
        wrong += differences(f"{attempt.story}, {said.rcpt_to}", vars(said), row)
    return wrong


def tshark_packets(capture: Path) -> Counter[Key]:
    """How many TCP packets went from each address and port to each other one."""
    fields = ("ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport")
    columns = [word for name in fields for word in ("-e", name)]
    packets: Counter[Key] = Counter()
    for line in tshark(capture, "-Y", "tcp && !icmp && !icmpv6", "-T", "fields", *columns):
        src, src6, src_port, dst, dst6, dst_port = line.split("\t")
        packets[src or src6, int(src_port), dst or dst6, int(dst_port)] += 1
    return packets


def tshark(capture: Path, *options: str) -> list[str]:
    """The lines that tshark prints about a capture."""
    command = ["tshark", "-n", "-r", capture, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def is_relayed(key: Key) -> bool:
    """Whether it is one of the smarthost's own attempts, of which no client knows."""
    return key[0] == lab.SMARTHOST


@of_each_play
@on_each_side
def test_the_captures_hold_what_was_played(plays: dict[str, Play], name: str, place: str) -> None:
    """The lab itself, by tshark: all attempts, and nothing else but answers and the smarthost's."""
    capture = getattr(plays[name], place)
    played = {key_of(attempt) for attempt in plays[name].crossing(place)}
    called = {key for key in tshark_packets(capture) if key[1] > key[3]}
    assert {key for key in called if not is_relayed(key)} == played
    check = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    # 0xffff is the other zero of ones' complement: Linux writes it now and then, tshark objects.
    wrong = "ip.checksum.status == 0 || (tcp.checksum.status == 0 && tcp.checksum != 0xffff)"
    assert not tshark(capture, *check, "-Y", wrong)


@of_each_play
def test_tshark_reads_the_replies_that_the_clients_noted(plays: dict[str, Play], name: str) -> None:
    """The lab's expectations against a second opinion: the first and the last reply in clear."""
    read = ("-d", "tcp.port==2525,smtp", "-Y", "smtp.response.code", "-T", "fields")
    columns = ("-e", "tcp.dstport", "-e", "smtp.response.code")
    codes: dict[int, list[int]] = {}
    for line in tshark(plays[name].inside, *read, *columns):
        client, replies = line.split("\t")
        codes.setdefault(int(client), []).extend(int(code) for code in replies.split(","))
    for attempt in plays[name].attempts:
        if attempt.smtp is not None and attempt.smtp.banner_code is not None:
            noted = attempt.smtp.banner_code, attempt.smtp.last_reply_code
            assert noted == (codes[attempt.src_port][0], codes[attempt.src_port][-1]), attempt.story


@of_each_play
@on_each_side
def test_every_attempt_is_found_once(plays: dict[str, Play], tool: Tool, name: str, place: str) -> None:
    played = {key_of(attempt) for attempt in plays[name].crossing(place)}
    assert {key for key in tool.of(name, place).flows if not is_relayed(key)} == played


@of_each_play
@on_each_side
def test_tshark_counts_the_same_packets(plays: dict[str, Play], tool: Tool, name: str, place: str) -> None:
    counted = tshark_packets(getattr(plays[name], place))
    for key, flow in tool.of(name, place).flows.items():
        forth, back = counted[key], counted[key[2:] + key[:2]]
        if key[2] == lab.HOME:  # what neighbours say passes the link twice
            forth, back = forth // 2, back // 2
        assert (flow["src_packets"], flow["dst_packets"]) == (forth, back), key


@of_each_play
@on_each_side
def test_every_attempt_is_judged_as_the_policy_says(
    plays: dict[str, Play], tool: Tool, name: str, place: str
) -> None:
    wrong: list[str] = []
    for attempt in plays[name].crossing(place):
        flow = tool.of(name, place).flows[key_of(attempt)]
        wrong += differences(attempt.story, plays[name].expected(attempt, place), flow)
    assert not wrong, "\n".join(wrong)


@of_each_play
@on_each_side
def test_sessions_are_read_as_the_clients_held_them(
    plays: dict[str, Play], tool: Tool, name: str, place: str
) -> None:
    wrong: list[str] = []
    for attempt in plays[name].crossing(place):
        wrong += misread(attempt, tool.of(name, place), key_of(attempt))
    assert not wrong, "\n".join(wrong)


@under_each_filter
def test_the_smarthost_hands_on_what_it_took(plays: dict[str, Play], tool: Tool, name: str) -> None:
    """Postfix as a client: what its log calls sent was accepted on the wire."""
    reports = tool.of(name, "outside")
    expected = {"src_role": "smarthost", "traffic_class": "server_to_server", "finding": "allowed"}
    accepted, wrong = 0, list[str]()
    for key in filter(is_relayed, reports.flows):
        wrong += differences(f"to {key[2]}", expected, reports.flows[key])
        wrong += differences(f"to {key[2]}", {"helo": "relay.isp.example"}, reports.sessions[key])
        accepted += int(str(reports.sessions[key]["messages_accepted"]))
    assert not wrong, "\n".join(wrong)
    assert accepted == plays[name].relayed


@pytest.mark.parametrize("name", ["open", "dialogues"])
def test_a_capture_of_all_interfaces_counts_nothing_twice(
    plays: dict[str, Play], tool: Tool, name: str
) -> None:
    """Each packet passes the router twice: in, and out with one hop less."""
    everywhere = tool.of(name, "everywhere")
    columns = ("outcome", "src_packets", "dst_packets", "src_bytes", "dst_bytes", "syn_packets")
    wrong: list[str] = []
    for place in ("inside", "outside"):
        for key, flow in tool.of(name, place).flows.items():
            counted = {column: flow[column] for column in columns}
            wrong += differences(str(key), counted, everywhere.flows.get(key, {}))
    for attempt in plays[name].attempts:
        wrong += misread(attempt, everywhere, key_of(attempt))
    assert not wrong, "\n".join(wrong)


@under_each_filter
def test_in_the_home_client_and_server_are_told_apart(plays: dict[str, Play], tool: Tool, name: str) -> None:
    """Captured before the NAT, and without a policy."""
    reports = tool.of(name, "home", policy=False)
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        if attempt.src_ip in SEEN_AS:
            key = key_of(attempt, behind_nat=True)
            expected: Row = {"src_role": "dynamic", "direction": "outbound"}
            if attempt.story == "case 3 at home":
                expected |= {"traffic_class": "direct_to_mx", "op25b_case": 3}
            wrong += differences(attempt.story, expected, reports.flows[key])
            wrong += misread(attempt, reports, key)
    assert not wrong, "\n".join(wrong)


@under_each_filter
def test_without_a_policy_nine_roles_of_ten_are_right_and_nothing_is_wrongly_proven(
    plays: dict[str, Play], tool: Tool, name: str
) -> None:
    reports = tool.of(name, "inside", policy=False)
    expected = [(plays[name].expected(attempt, "inside"), attempt) for attempt in plays[name].attempts]
    roles, wrong = list[str](), list[str]()
    for row, attempt in expected:
        flow = reports.flows[key_of(attempt)]
        roles += differences(attempt.story, {"dst_role": row["dst_role"]}, flow)
        if flow["confidence"] == "proven" and "finding" in row:
            wrong += differences(attempt.story, {"finding": row["finding"]}, flow)
    assert not wrong, "\n".join(wrong)
    assert len(roles) <= len(WAYS) / 10, "\n".join(roles)


@pytest.mark.parametrize("mangle", [mangling.duplicated, mangling.reordered])
def test_duplicates_and_disorder_change_nothing(
    plays: dict[str, Play], tool: Tool, tmp_path: Path, mangle: mangling.Mangle
) -> None:
    mangling.rewrite(plays["dialogues"].inside, tmp_path / "mangled.pcap", mangle)
    reports = tool.read(tmp_path / "mangled.pcap", mangle.__name__)
    columns = ("outcome", "src_bytes", "dst_bytes", "syn_packets")
    wrong: list[str] = []
    for attempt in plays["dialogues"].attempts:
        key = key_of(attempt)
        before = tool.of("dialogues", "inside").flows[key]
        counted = {column: before[column] for column in columns}
        wrong += differences(attempt.story, counted, reports.flows.get(key, {}))
        wrong += misread(attempt, reports, key)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("nth", [5, 11, 23])
def test_what_was_lost_is_marked_and_no_two_mails_mix(
    plays: dict[str, Play], tool: Tool, tmp_path: Path, nth: int
) -> None:
    """Every nth packet with data was on the wire, but is missing from the capture."""
    lost = mangling.rewrite(plays["dialogues"].inside, tmp_path / "lossy.pcap", mangling.lossy(nth))
    reports = tool.read(tmp_path / "lossy.pcap", f"lossy-{nth}")
    wrong: list[str] = []
    for attempt in plays["dialogues"].attempts:
        key = key_of(attempt)
        if key not in lost:
            wrong += misread(attempt, reports, key)
            continue
        flow = reports.flows[key]
        if "gap" not in str(flow["anomalies"]):
            wrong.append(f"{attempt.story}: the gap is not marked")
        said = attempt.smtp.transactions if attempt.smtp else []
        for row in reports.transactions.get(flow["flow_id"], []):
            if not any(tells_of(row, transaction) for transaction in said):
                wrong.append(f"{attempt.story}: {row} was never said")
    assert not wrong, "\n".join(wrong)


def tells_of(row: Row, said: Transaction) -> bool:
    """Whether the row holds nothing but what was said in that transaction."""
    recipients = row["rcpt_to"] or []
    assert isinstance(recipients, list)
    return row["mail_from"] in (None, said.mail_from) and set(recipients) <= set(said.rcpt_to)


def test_passwords_are_written_nowhere(tool: Tool) -> None:
    tool.of("dialogues", "inside")
    response = f"\0{USER}\0{PASSWORD}".encode()
    secrets = [PASSWORD.encode(), base64.b64encode(PASSWORD.encode()), base64.b64encode(response)]
    for reports in tool.reports.values():
        for path in reports.folder.iterdir():
            octets = path.read_bytes()
            assert not [secret for secret in secrets if secret in octets], path


def test_nothing_of_the_lab_is_left(plays: dict[str, Play]) -> None:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    assert not [namespace for namespace in listed.split() if namespace in lab_namespaces()]


def lab_namespaces() -> set[str]:
    """What the namespaces of this very run are called."""
    return {Network().command(namespace)[3] for namespace in lab.CONFIGURATIONS}

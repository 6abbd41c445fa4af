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
from tests.lab.drivers import Attempt, Transaction
from tests.lab.network import FILTERS, Network, why_not
from tests.lab.servers import PASSWORD, USER, Servers
from tests.lab.stories import OUTCOMES, PATHS, POLICY, Play, play_dialogues, play_paths

pytestmark = pytest.mark.lab

FILTER_NAMES = tuple(FILTERS)
SILENCED = {"drop": "no_answer", "reset": "refused", "prohibited": "prohibited"}
Key = tuple[str, int, str, int]
Row = dict[str, object]


@pytest.fixture(scope="session")
def plays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Play]:
    """Everything played once: the ways of mail under each filter, and the dialogues."""
    if reason := why_not():
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("lab")
    with Network() as network, Servers(network) as servers:
        played = {name: play_paths(network, servers, name, place / name) for name in FILTER_NAMES}
        played["dialogues"] = play_dialogues(network, servers, place / "dialogues")
    return played


class Reports:
    """What `analyze` wrote about one capture."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.flows = self._by_attempt("flows")
        self.smtp = self._by_attempt("smtp_sessions")
        self.retrieval = self._by_attempt("retrieval_sessions")
        self.transactions: dict[object, list[Row]] = {}
        for row in self.rows("smtp_transactions"):
            self.transactions.setdefault(row["flow_id"], []).append(row)

    def rows(self, table: str) -> list[Row]:
        """The rows of one table."""
        return pq.read_table(self.place / f"{table}.parquet").to_pylist()

    def _by_attempt(self, table: str) -> dict[Key, Row]:
        rows = self.rows(table)
        found = {(row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]): row for row in rows}
        assert len(found) == len(rows), f"{table}: an attempt stands there twice"
        return found


def analyze(capture: Path, out: Path, *, place: str | None) -> Reports:
    """Runs the tool as a user does; `place` is the policy's observation point, None for no policy."""
    options: list[str | Path] = []
    if place is not None:
        policy = out.with_suffix(".toml")
        policy.write_text(POLICY.format(place=place))
        options = ["--policy", policy]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "op25b_pcap", "analyze", capture),
            *("--out", out, "--csv", "--envelope", "full", *options),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Reports(out)


@pytest.fixture(scope="session")
def reports(
    plays: dict[str, Play], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Reports]:
    """The reports of every play, from inside and from outside of the filter."""
    out = tmp_path_factory.mktemp("reports")
    return {
        (name, place): analyze(getattr(play, place), out / f"{name}-{place}", place=place)
        for name, play in plays.items()
        for place in ("inside", "outside")
    }


def seen_as(attempt: Attempt) -> Key:
    """The attempt's addresses beyond the home router's NAT, which keeps ports."""
    src = lab.HOME if attempt.src_ip in (lab.HOME_CLIENT, lab.HOME_SERVER) else attempt.src_ip
    return src, attempt.src_port, attempt.dst_ip, attempt.dst_port


def is_filtered(attempt: Attempt, filter_name: str) -> bool:
    """Whether the router's filter keeps the attempt from the addressee."""
    way = next(way for way in PATHS if way.story == attempt.story)
    ignored = filter_name == "open" or (filter_name == "ipv4_only" and ":" in attempt.dst_ip)
    return way.known["policy_action"] == "block" and not ignored


def crosses(attempt: Attempt, play: Play, place: str) -> bool:
    """Whether the attempt passes the router on that side of the filter."""
    if place == "inside":
        return True
    abroad = attempt.src_ip == lab.MX or attempt.dst_ip.startswith(("198.51.100.", "2001:db8:f:"))
    return abroad and (play.filter == "open" or not is_filtered(attempt, play.filter))


def differences(story: str, expected: Row, found: Row) -> list[str]:
    """One sentence for each column that is not as the client knows it."""
    return [
        f"{story}: {column} is {found.get(column)!r}, not {value!r}"
        for column, value in expected.items()
        if found.get(column) != value
    ]


PLACES = [(name, place) for name in (*FILTER_NAMES, "dialogues") for place in ("inside", "outside")]


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_the_captures_hold_what_was_played(plays: dict[str, Play], name: str, place: str) -> None:
    """The lab itself, by tshark: every attempt, and no other but the smarthost's."""
    play = plays[name]
    played = {seen_as(attempt) for attempt in play.attempts if crosses(attempt, play, place)}
    opened = {
        key for key in tshark_packets(getattr(play, place)) if key[1] < 30000 or key[0] != lab.SMARTHOST
    }
    assert {key for key in opened if key[3] < key[1]} == played


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_every_attempt_is_found_once(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], name: str, place: str
) -> None:
    play = plays[name]
    played = {seen_as(attempt) for attempt in play.attempts if crosses(attempt, play, place)}
    found = {key for key in reports[name, place].flows if key[0] != lab.SMARTHOST}
    assert found == played


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_tshark_counts_the_same_packets(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], name: str, place: str
) -> None:
    counted = tshark_packets(getattr(plays[name], place))
    for (src, src_port, dst, dst_port), flow in reports[name, place].flows.items():
        forth, back = counted[src, src_port, dst, dst_port], counted[dst, dst_port, src, src_port]
        if dst == lab.HOME:  # between neighbours each packet passes the link twice
            forth, back = forth // 2, back // 2
        assert (flow["src_packets"], flow["dst_packets"]) == (forth, back), (src_port, dst, dst_port)


def tshark_packets(capture: Path) -> Counter[Key]:
    """How many TCP packets went from each address and port to each other one."""
    fields = ("ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport")
    lines = subprocess.run(
        [
            *("tshark", "-n", "-r", capture, "-Y", "tcp && !icmp && !icmpv6", "-T", "fields"),
            *(word for name in fields for word in ("-e", name)),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    packets: Counter[Key] = Counter()
    for line in lines:
        src4, src6, src_port, dst4, dst6, dst_port = line.split("\t")
        packets[src4 or src6, int(src_port), dst4 or dst6, int(dst_port)] += 1
    return packets


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_the_policy_is_judged_inside_the_filter(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], name: str
) -> None:
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        way = next(way for way in PATHS if way.story == attempt.story)
        expected = {column: value for column, value in way.known.items() if value is not None}
        expected.setdefault("src_role", "dynamic")
        if "src_role" in way.known and way.known["src_role"] is None:
            del expected["src_role"]
        filtered = is_filtered(attempt, name)
        expected.setdefault("outcome", SILENCED.get(name, "no_answer") if filtered else "connected")
        if filtered and name == "redirect":
            expected |= {"outcome": "connected", "finding": "intercepted"}
        elif way.known["policy_action"] == "block":
            expected["finding"] = "blocked" if filtered else "leak"
        elif way.known["policy_action"] == "allow":
            expected["finding"] = "allowed"
        if filtered and name == "prohibited":
            expected["icmp_from"] = lab.ROUTER_V6 if ":" in attempt.dst_ip else lab.ROUTER
        wrong += differences(attempt.story, expected, reports[name, "inside"].flows[seen_as(attempt)])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_beyond_the_filter_what_is_seen_of_blocked_mail_is_a_leak(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], name: str
) -> None:
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        way = next(way for way in PATHS if way.story == attempt.story)
        finding = {"block": "leak", "allow": "allowed"}.get(str(way.known["policy_action"]))
        if crosses(attempt, plays[name], "outside") and finding:
            flow = reports[name, "outside"].flows[seen_as(attempt)]
            wrong += differences(attempt.story, {"finding": finding, "outcome": "connected"}, flow)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_the_smarthost_hands_on_what_it_took(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], name: str
) -> None:
    """Postfix as a client: what its log calls sent was accepted on the wire."""
    found = reports[name, "outside"]
    relays = [key for key in found.flows if key[0] == lab.SMARTHOST]
    wrong = [
        difference
        for key in relays
        for difference in differences(
            f"smarthost to {key[2]}",
            {"src_role": "smarthost", "traffic_class": "server_to_server", "finding": "allowed"},
            found.flows[key],
        )
    ]
    assert not wrong, "\n".join(wrong)
    assert sum(int(str(found.smtp[key]["messages_accepted"])) for key in relays) == plays[name].relayed
    assert {found.smtp[key]["helo"] for key in relays} == {"relay.isp.example"}


def session_differences(attempt: Attempt, found: Reports, key: Key) -> list[str]:
    """What is wrong about an attempt's session and its transactions."""
    session = found.smtp.get(key) or found.retrieval.get(key) or {}
    if attempt.partly is not None:
        return differences(attempt.story, attempt.partly, session)
    if attempt.retrieval is not None:
        return differences(attempt.story, vars(attempt.retrieval), session)
    if attempt.smtp is None:
        return []
    wrong = differences(attempt.story, attempt.smtp.columns(), session)
    transactions = found.transactions.get(session.get("flow_id"), [])
    for number, known in enumerate(attempt.smtp.transactions):
        row = transactions[number] if number < len(transactions) else {}
        wrong += differences(f"{attempt.story}, transaction {number + 1}", vars(known), row)
    return wrong


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_sessions_are_read_as_the_clients_held_them(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], name: str, place: str
) -> None:
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        if crosses(attempt, plays[name], place):
            wrong += session_differences(attempt, reports[name, place], seen_as(attempt))
    assert not wrong, "\n".join(wrong)


def test_outcomes_of_dead_hosts(plays: dict[str, Play], reports: dict[tuple[str, str], Reports]) -> None:
    wrong: list[str] = []
    for attempt in plays["dialogues"].attempts:
        expected = {"outcome": OUTCOMES.get(attempt.story, "connected")}
        wrong += differences(attempt.story, expected, reports["dialogues", "inside"].flows[seen_as(attempt)])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["open", "dialogues"])
def test_a_capture_of_all_interfaces_counts_nothing_twice(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], tmp_path: Path, name: str
) -> None:
    """Each packet passes the router twice: in, and out with one hop less."""
    everywhere = analyze(plays[name].everywhere, tmp_path / "out", place="inside")
    for place in ("inside", "outside"):
        for key, flow in reports[name, place].flows.items():
            columns = ("outcome", "src_packets", "dst_packets", "src_bytes", "dst_bytes", "syn_packets")
            expected = {column: flow[column] for column in columns}
            assert not differences(str(key), expected, everywhere.flows.get(key, {}))
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        wrong += session_differences(attempt, everywhere, seen_as(attempt))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["open", "drop", "prohibited"])
def test_without_a_policy_the_home_tells_client_and_server_apart(
    plays: dict[str, Play], tmp_path: Path, name: str
) -> None:
    """Captured in the home, before the NAT."""
    found = analyze(plays[name].home, tmp_path / "out", place=None)
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        if attempt.src_ip in (lab.HOME_CLIENT, lab.HOME_SERVER):
            key = attempt.src_ip, attempt.src_port, attempt.dst_ip, attempt.dst_port
            expected: Row = {"src_role": "dynamic", "direction": "outbound"}
            if attempt.story == "case 3 behind NAT":
                expected |= {"traffic_class": "direct_to_mx", "op25b_case": 3}
            wrong += differences(attempt.story, expected, found.flows[key])
            wrong += session_differences(attempt, found, key)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_without_a_policy_roles_are_mostly_right_and_never_wrongly_proven(
    plays: dict[str, Play], reports: dict[tuple[str, str], Reports], tmp_path: Path, name: str
) -> None:
    found = analyze(plays[name].inside, tmp_path / "out", place=None)
    roles = right = 0
    wrong: list[str] = []
    for attempt in plays[name].attempts:
        known = next(way for way in PATHS if way.story == attempt.story).known
        flow = found.flows[seen_as(attempt)]
        if "dst_role" in known:
            roles += 1
            right += flow["dst_role"] == known["dst_role"]
        judged = reports[name, "inside"].flows[seen_as(attempt)]
        if flow["confidence"] == "proven":
            wrong += differences(attempt.story, {"finding": judged["finding"]}, flow)
    assert not wrong, "\n".join(wrong)
    assert right >= 0.9 * roles, f"{right} of {roles}"


def test_passwords_are_written_nowhere(reports: dict[tuple[str, str], Reports]) -> None:
    response = f"\0{USER}\0{PASSWORD}".encode()
    secrets = [PASSWORD.encode(), base64.b64encode(PASSWORD.encode()), base64.b64encode(response)]
    for each in reports.values():
        for path in each.place.iterdir():
            octets = path.read_bytes()
            assert not [secret for secret in secrets if secret in octets], path


@pytest.mark.parametrize("mangle", [mangling.duplicated, mangling.reordered])
def test_duplicates_and_disorder_change_no_session(
    plays: dict[str, Play],
    reports: dict[tuple[str, str], Reports],
    tmp_path: Path,
    mangle: mangling.Mangle,
) -> None:
    play, capture = plays["dialogues"], tmp_path / "mangled.pcap"
    mangling.rewrite(play.inside, capture, mangle)
    found = analyze(capture, tmp_path / "out", place="inside")
    wrong: list[str] = []
    for attempt in play.attempts:
        key = seen_as(attempt)
        before = reports["dialogues", "inside"].flows[key]
        expected = {column: before[column] for column in ("outcome", "src_bytes", "dst_bytes", "syn_packets")}
        wrong += differences(attempt.story, expected, found.flows.get(key, {}))
        wrong += session_differences(attempt, found, key)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("nth", [5, 11, 23])
def test_what_was_lost_is_null_or_marked_and_never_wrong(
    plays: dict[str, Play], tmp_path: Path, nth: int
) -> None:
    """Every nth packet with data is missing from the capture (but was not on the wire)."""
    play, capture = plays["dialogues"], tmp_path / "lossy.pcap"
    losers = mangling.rewrite(play.inside, capture, mangling.lossy(nth))
    found = analyze(capture, tmp_path / "out", place="inside")
    wrong: list[str] = []
    for attempt in play.attempts:
        key = seen_as(attempt)
        if key not in losers:
            wrong += session_differences(attempt, found, key)
            continue
        if "gap" not in str(found.flows[key]["anomalies"]):
            wrong.append(f"{attempt.story}: a gap is not marked")
        known = attempt.smtp.transactions if attempt.smtp else []
        for row in found.transactions.get(found.flows[key]["flow_id"], []):
            if not any(belongs(row, transaction) for transaction in known):
                wrong.append(f"{attempt.story}: {row} was never said")
    assert not wrong, "\n".join(wrong)


def belongs(row: Row, said: Transaction) -> bool:
    """Whether the row says of a transaction nothing but what was said in it."""
    recipients = row["rcpt_to"] or []
    assert isinstance(recipients, list)
    return row["mail_from"] in (None, said.mail_from) and set(recipients) <= set(said.rcpt_to)


def test_nothing_of_the_lab_is_left(plays: dict[str, Play]) -> None:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    assert "op25b-" not in listed

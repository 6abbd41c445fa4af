"""One piece: read once, and what matters of it set down under the digest of its octets.

A task of a worker. In: a piece. Out: its account, which also lies in the lake, unless the piece is
left for a later run.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.assembly.shelf import Shelf
from op25b_pcap.assembly.store import Store
from op25b_pcap.batch import bench, logs, work
from op25b_pcap.batch.account import Account, Piece, account_of, compact, digest_of_first
from op25b_pcap.batch.files import Files, files
from op25b_pcap.batch.inbox import opened, size_and_time
from op25b_pcap.capture.aside import OF_ONE, OF_SEVERAL, Aside, Kept, by_time
from op25b_pcap.capture.names import means_capture
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.reading import first_record
from op25b_pcap.circles import seldom_sought
from op25b_pcap.compiled import kernels
from op25b_pcap.decode import Tally
from op25b_pcap.flowlogs import Hints
from op25b_pcap.roles.dns import Answers
from op25b_pcap.roles.messages import MESSAGES, Messages
from op25b_pcap.roles.records import name_exchangers
from op25b_pcap.scan.engine import Scan

YOUNG_NS = 120_000_000_000
"""Who writes a capture flushes it more often than this; what has no end after it never gets one."""
_ENDS_EARLY = ("the file ends inside", "ends too early", "the file is empty")
"""Reasons of damages that are none while the file is being written."""
_WAITING_TOGETHER = 64
"""Records that are read together when fragments are joined: a damaged time may open every piece at once."""


def scan(piece: Piece, lake: str, beside: bool = False, hints: Hints | None = None) -> Account:
    """Read a piece. `hints` are for logs. `beside`: a processor is free for who reckons the digest."""
    workshop = work.work_of(files(lake))
    with opened(piece.path) as path, workshop.scratch() as folder, seldom_sought():
        account = Account(*piece)
        try:
            if "://" not in piece.path:  # it may have been listed hours ago
                was = account.size, account.mtime_ns = size_and_time(path)
            account.kind = logs.kind(path)
            if account.kind:
                made = logs.read(account, path, folder, hints or Hints())
            else:
                observation = Observation([path], beside=beside, reckons_unpacked=True)
                made = _read(account, observation, folder, work.compression(workshop))
            changed = size_and_time(path) != was if "://" not in piece.path else account.size != piece.size
        except FileNotFoundError:
            account.state, account.reason = "unfinished", "it went before it was read"
            return account
        except OSError as fault:
            account.state, account.reason = "unreadable", f"it cannot be read ({fault.strerror or fault})"
            return account
        account.kind = account.kind or "capture"
        _judge(account, changed=changed)
        if not account.is_known:
            return account
        if account.counts:
            for name, file in made.items():
                workshop.put(file, name)
        _remember(account, workshop)
        (folder / "account").write_bytes(account.octets())
        workshop.put(folder / "account", f"{work.ACCOUNTS}/{account.name}")
    return account


def _remember(account: Account, workshop: Files) -> None:
    """What was known of the same content at the same path, which was only touched."""
    with suppress(FileNotFoundError):
        before = account_of(workshop.read(f"{work.ACCOUNTS}/{account.name}"))
        account.was, account.compared = before.was, before.compared


def _read(
    account: Account, observation: Observation, folder: Path, compression: str | None
) -> dict[str, Path]:
    """Read the only capture of an observation; gives what was written, by its place in the workshop.

    `compression` is that of layers.
    """
    compiled, tally = kernels(), Tally()
    answers = Answers(compiled.read_messages)
    layers = Shelf(compiled, folder, compression)
    aside = Aside(folder / "aside.arrow", OF_SEVERAL)
    heard = Kept(folder / "messages.arrow", MESSAGES, work.COMPRESSION)
    engine = Scan(tally, aside.add, compiled)
    store = Store(compiled, layers, rooms=bench.rooms())

    def hear(messages: pa.RecordBatch) -> None:
        are_exchangers = name_exchangers(messages["payload"])
        answers.hear(messages.filter(are_exchangers))
        if len(others := messages.filter(pc.invert(are_exchangers))):
            heard.put(others)

    messages = Messages(hear, compiled)
    engine.settle(observation.items(compiled.walks), store, messages)
    layers.put(store)
    aside.close()
    waiting = Aside(folder / "waiting.arrow", OF_ONE, work.COMPRESSION, _WAITING_TOGETHER)
    for record in by_time(aside):
        waiting.add(record)
    waiting.close()
    messages.close()
    heard.close()
    (capture,) = observation.captures
    account.sha256, account.size = capture.sha256 or "", capture.size or 0
    account.format, account.compression, account.records = (
        capture.format,
        capture.compression,
        capture.packets,
    )
    if capture.unpacked:
        account.unpacks_to = capture.unpacked.octets, capture.unpacked.hex()
    account.first_time_ns, account.last_time_ns = capture.first_time_ns, capture.last_time_ns
    account.unread = capture.unread
    account.damages = [(damage.offset, damage.reason) for damage in capture.damages]
    account.read, account.decoded, account.skipped = tally.read, tally.decoded, dict(tally.skipped)
    account.by_scapy, account.layers = engine.by_scapy, compact(layers.sizes)
    if capture.packets and (first := first_record(capture.path)):
        account.began_ns = first.time_ns
        account.opens = digest_of_first(b"%d %d %b" % (first.time_ns, first.length, first.data))
    content = account.sha256
    made = {work.layer(content, number): file for number, file in enumerate(layers.paths)}
    account.aside, account.heard = waiting.count, heard.count
    if waiting.count:
        made[work.aside(content)] = waiting.path
    if heard.count:
        made[work.heard(content)] = heard.path
    account.answers = work.write_answers(answers, folder / "answers.arrow")
    if account.answers:
        made[work.answers(content)] = folder / "answers.arrow"
    return made


def _judge(account: Account, *, changed: bool) -> None:
    """What the piece is worth."""
    is_young = abs(time.time_ns() - account.mtime_ns) < YOUNG_NS
    early = any(word in reason for _, reason in account.damages for word in _ENDS_EARLY)
    if changed:
        account.state, account.reason = "unfinished", "it changed while it was read"
    elif early and is_young:
        account.state, account.reason = "unfinished", "it has no end yet"
    elif not account.sha256 or (not account.format and account.kind == "capture"):
        is_meant = means_capture(Path(account.path).name)
        account.state = "unreadable" if is_meant or not account.sha256 else "foreign"
    elif account.damages:
        account.state = "damaged"
    if account.damages and not account.reason:
        account.reason = account.damages[0][1]

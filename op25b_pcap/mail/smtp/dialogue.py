"""SMTP as both sides speak it (RFC 5321 with PIPELINING, CHUNKING, AUTH, STARTTLS).

In: the octets of both sides as they became readable, cut anywhere, and gaps. Out: a `Session`.
Commands and replies are found by their readers, joined by `Replies`, and followed through the
table of `state`. Nothing raises; what is odd is named (`anomalies`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from op25b_pcap.mail.sasl import repeats
from op25b_pcap.mail.smtp.client import HIDDEN, MESSAGE, ClientReader
from op25b_pcap.mail.smtp.grammar import GREETING, LAST_CHUNK, RESPONSE, UNSEEN, Command
from op25b_pcap.mail.smtp.preamble import MAX_PREAMBLE, preamble
from op25b_pcap.mail.smtp.record import Session
from op25b_pcap.mail.smtp.replies import GAP, Exchange, Replies
from op25b_pcap.mail.smtp.reply_lines import Reply, ReplyReader
from op25b_pcap.mail.smtp.state import GOODBYE, MORE, NO, YES, State, after, answer
from op25b_pcap.mail.tls import TELLING_OCTETS, Handshake, looks_like_tls
from op25b_pcap.tables.streams import CLIENT, SERVER, Side

_TLS_RECORDS = (b"\x14", b"\x15", b"\x16", b"\x17")
_CHUNKS = ("BDAT", LAST_CHUNK)
_START_MAIL_INPUT = 354  # RFC 5321 section 4.2.3


class Dialogue:
    """Both sides of one session."""

    def __init__(self, *, from_start: bool = True, tls_port: bool = False) -> None:
        """`from_start`: the opening of the connection was seen. `tls_port`: TLS comes first."""
        self.session = Session()
        self.handshake = Handshake()
        self.tls = "none"
        self.last_reply: Reply | None = None
        self._last_answered: Command | None = None
        self.has_spoken = False
        """The client said something in clear."""
        self.is_done = False
        """Whatever may still come tells nothing: both sides are in TLS, and their hellos were read."""
        self._tls_port = tls_port
        self._client = ClientReader(from_start=from_start)
        self._server = ReplyReader()
        self._server_is_hidden = False
        self._server_may_begin = from_start
        self._replies = Replies(from_start=from_start)
        self._state = State.CONNECTED if from_start else State.UNKNOWN
        self._spoke_first = False
        self._anomalies: set[str] = set() if from_start else {"midstream"}

    @property
    def anomalies(self) -> set[str]:
        """All that is odd so far."""
        return self._anomalies.union(
            self.session.anomalies,
            self._client.anomalies,
            self._server.anomalies,
            self._replies.anomalies,
            self.handshake.anomalies,
        )

    @property
    def is_hidden(self) -> bool:
        """TLS hides what the client says."""
        return self._client.reading is HIDDEN

    def receive(self, side: Side, data: bytes) -> None:
        """The side sent these octets."""
        if side is SERVER:
            if self._server_is_hidden:
                self._receive_hidden(side, data)
            elif data:
                self._read_server(data)
        elif self._client.reading is HIDDEN:
            self._receive_hidden(side, data)
        elif data:
            self._server.client_spoke()
            if self._replies.held:
                self._settle(self._replies.client_goes_on())
                if self._client.in_message and self._client.message.is_torn and self._replies.held:
                    # The server has answered it, so its end is among what is missing.
                    self._ask(self._client.end_message(is_lost=True))
            command = self._client.feed(data)
            if command is not None:
                self._ask(command)
            if self._client.lines.unread:
                self._read_client()

    def pass_over(self, side: Side, octets: int) -> bool:
        """The side sent what `tables.streams.Passage` says. False: the octets are needed."""
        if side is SERVER or self._replies.held:
            return False
        if self._client.reading is HIDDEN:
            return self.handshake.is_over(side)
        self._server.client_spoke()
        return self._client.pass_over(octets)

    def _receive_hidden(self, side: Side, data: bytes) -> None:
        self.handshake.receive(side, data)
        self.is_done = self._server_is_hidden and self.is_hidden and self.handshake.is_done

    def gap(self, side: Side, octets: int) -> None:
        """So many octets of that side are missing here."""
        if side is SERVER:
            self._server_gap()
        elif self.is_hidden:
            self.handshake.gap(side)
        else:
            self._client_gap(octets)

    def close(self, *, is_over: bool = True) -> None:
        """Nothing more comes. `is_over`: the connection was seen to end."""
        if self._client.in_message and self._replies.held:
            # Only the end of data is answered after 354: it is among what was not captured, or
            # the server did not wait for it.
            is_lost = self._replies.held[0].code < 400 or self._client.message.is_torn
            self._ask(self._client.end_message(is_lost=is_lost))
        if self._client.lines.unread or self._replies.outstanding or self._replies.held:
            self._read_the_rest()
        if self.last_reply is not None and self._may_repeat(self.last_reply):
            self.last_reply = replace(self.last_reply, lines=[])
        is_sure = self.anomalies.isdisjoint(("gap", "surplus_reply"))
        self._client.close(is_sure=is_sure)
        self._server.close()
        self.session.end(is_over=is_over and is_sure)
        if self.tls == "implicit" and not self._server_is_hidden and self.last_reply is not None:
            self.tls = "none"
            self._anomalies.add("unasked_tls")

    def _read_the_rest(self) -> None:
        """What has waited for replies that will not come."""
        lines, waiting = self._client.lines, -1
        while lines.pending != waiting or self._replies.has_commands:
            waiting = lines.pending
            self._settle(self._replies.end())
            self._read_client()

    def _read_client(self) -> None:
        """Take what the client asks for; where a reply is missing, let its octets decide."""
        client = self._client
        if client.reading is HIDDEN:
            return
        while True:
            while (command := client.next_command()) is not None:
                self._ask(command)
            if not client.gives_up(is_lost=self._replies.is_lost):
                break
            self._settle(self._replies.give_up())
        if client.reading is HIDDEN:
            self._begin_tls(CLIENT)

    def _ask(self, command: Command) -> None:
        if not self.has_spoken:
            self.has_spoken = True
            first = self._replies.is_greeting_due and not self._server.lines.unread
            self._spoke_first = first and not self._client.has_preamble
        self._settle(self._replies.command(command))
        if self._client.is_lost:
            self._replies.miss_commands()

    def _read_server(self, data: bytes) -> None:
        replies = self._server.only_replies(data)
        if replies is not None:
            self._server_may_begin = False
            self._answer_all(replies)
            return
        self._server.feed(data)
        lines = self._server.lines
        if self._server_may_begin:
            before = preamble(SERVER, lines.peek(MAX_PREAMBLE))
            if before is None:
                return
            lines.drop(before[1])
            self._server_may_begin = False
        while lines.unread:
            if lines.peek(1) in _TLS_RECORDS:
                is_tls = looks_like_tls(lines.peek(TELLING_OCTETS))
                if is_tls is None:
                    return
                if is_tls:
                    self._begin_tls(SERVER)
                    return
            replies = self._server.next_line()
            if replies is None:
                return
            self._answer_all(replies)

    def _answer_all(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            self._answer(reply)
            if self._client.lines.unread:
                self._read_client()

    def _answer(self, reply: Reply) -> None:
        self.last_reply, self._last_answered = reply, None
        client = self._client
        if client.reading is MESSAGE and client.message.ends_loosely():
            self._anomalies.add("bare_lf_end_of_data")
            self._ask(client.end_message())
        if client.is_lost:
            self._replies.miss_commands()
            client.server_spoke()
        has_gone_on = bool(client.lines.unread)
        if reply.code != _START_MAIL_INPUT:
            self._settle(self._replies.reply(reply, has_gone_on=has_gone_on))
            return
        if client.in_message:
            if client.confirm():
                self._replies.find_step()
                return
            if client.is_doubtful:  # another message: the end of this one is missing
                self._ask(client.end_message(is_lost=True))
        self._settle(self._replies.reply(reply, has_gone_on=has_gone_on))
        if has_gone_on and client.in_message:
            self._anomalies.add("early_data")

    def _settle(self, exchanges: Iterable[Exchange]) -> None:
        for command, reply in exchanges:
            if command is GAP:
                self.session.lose()
                self._state = State.UNKNOWN
            elif command is not UNSEEN:
                self._exchange(command, reply)
            elif reply is not None:
                self._stray(reply)

    def _exchange(self, command: Command, reply: Reply | None) -> None:
        """A command and what was said to it: tell of it, and go on in the table."""
        client, verb = self._client, command.verb
        said = told = answer(reply.code) if reply is not None else None
        if reply is not None and reply is self.last_reply:
            self._last_answered = command
        if command is client.awaited:
            said = client.resume(told)
        elif verb == "DATA" and told is MORE and client.is_lost:
            client.begin_message(is_sure=True)
            client.message.lose()
            self._replies.find_step()
        if command is GREETING:
            if self._spoke_first and reply is not None:
                self._anomalies.add("early_talker")
        elif verb == "MAIL" and self._is_refused():
            self._anomalies.add("ignores_refusal")
        elif verb in _CHUNKS and told in (NO, GOODBYE):
            client.dispute_chunk(command)
        self.session.apply(command, reply, told)
        if verb == "DATA" and client.reading is MESSAGE:
            self.session.begin_message(client.message, verb)
        # Without a reply: what the client did next shows that it was content.
        self._state, in_order = after(self._state, verb, said or YES)
        if not in_order and told is not None:
            self._anomalies.add("out_of_order")

    def _is_refused(self) -> bool:
        banner = self.session.banner
        return banner is not None and answer(banner.code) is not YES

    def _stray(self, reply: Reply) -> None:
        """A reply whose command no packet holds. Some say by themselves what it was."""
        self._state = State.UNKNOWN
        if self._client.in_message:
            # What was said to the message may be among the replies that are missing.
            said = None if self._client.is_doubtful else reply
            self._exchange(self._client.end_message(is_lost=True), said)
            self._replies.miss_commands()
        elif reply.code == 220 and not self.has_spoken and self._anomalies == {"midstream"}:
            self._exchange(GREETING, reply)
        elif reply.code == 354 and (self._client.is_lost or not self.has_spoken):
            self._client.lose()
            self._exchange(Command("DATA"), reply)
        elif reply.code == 221:
            self.session.quit = True  # nothing else is answered so
        elif reply.code == 235 and self.session.auth_mechanism is not None:
            self._exchange(RESPONSE, reply)
        elif reply.code == 250 and len(reply.lines) > 1 and self.session.extensions is None:
            self.session.offered(reply)

    def _may_repeat(self, last_reply: Reply) -> bool:
        """Whether the text may hold what must not be kept: a challenge, a response, a message.

        Sendmail quotes what it does not understand: `500 5.5.1 Command unrecognized: "…"`; some quote what
        somebody has tried to log in with.
        """
        answered = self._last_answered
        if last_reply.code == 334:  # part of what authenticates (RFC 4954 section 4)
            return True
        if answered is None:
            if last_reply.code == 500:
                return True
        elif not answered.verb and last_reply.code >= 500:
            return True
        has_secrets = answered is None or answered.verb in ("", "AUTH", RESPONSE.verb)
        return has_secrets and repeats(b"\n".join(last_reply.lines), self._client.secrets)

    def _server_gap(self) -> None:
        if self._server_is_hidden:
            self.handshake.gap(SERVER)
            return
        self._anomalies.add("gap")
        self._server.gap()
        self._server_may_begin = False
        self._client.doubt()
        self._settle(self._replies.gap_in_replies())
        self._read_client()

    def _client_gap(self, octets: int) -> None:
        self._anomalies.add("gap")
        if self._client.in_message and self._replies.held:
            # The server has answered it, so its end lies within the gap.
            self._ask(self._client.end_message(is_lost=True))
        if self._client.gap(octets):
            self._settle(self._replies.gap_in_commands())

    def _begin_tls(self, side: Side) -> None:
        """From here on this side's octets are TLS."""
        lines = self._client.lines if side is CLIENT else self._server.lines
        self.handshake.receive(side, lines.take(lines.pending))
        self._server_is_hidden |= side is SERVER
        in_clear = side is SERVER and self.has_spoken and not self.is_hidden
        if in_clear and not self.session.starttls_accepted:
            self._anomalies.add("unasked_tls")
            return
        if self.tls != "none":
            return
        is_midstream = "midstream" in self._anomalies
        if is_midstream and not self.has_spoken and self.session.banner is not None:
            # The one reply before TLS, 220, was no greeting: it answered STARTTLS.
            self.session.banner, self.session.starttls_accepted = None, True
        server_said = side is SERVER and not self.is_hidden and self.last_reply is not None
        asked = self.has_spoken or server_said or self.session.starttls_accepted
        unseen = is_midstream and not self._tls_port
        self.tls = "starttls" if asked or unseen else "implicit"

"""Which reply answers which command.

In: commands and replies in the order in which they were seen. Out: `Exchange`s in the order of
the commands. A server answers every command once and in order (RFC 5321 section 4.2, RFC 2920
section 3.1), so as long as nothing is missing the oldest command gets the next reply, also
where a capture shows them in the wrong order.

After a gap it is not known how many replies or commands are missing. Replies are held until
one comes whose command is certain; from there they are given out backwards. Certain is a reply
that only the client's last command can have, such as 354, and the reply after which a client
goes on that does not pipeline. That it was the last is known if there are no more replies than
commands were seen, or when the client goes on: else later ones may be missing. What that leaves over
is `UNSEEN`'s, or has no reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile

from op25b_pcap.mail.smtp.grammar import GREETING, RESPONSE, UNSEEN, Command
from op25b_pcap.mail.smtp.reply_lines import Reply

MAX_OUTSTANDING = 65_536
"""Commands that wait for a reply. RFC 5321 section 4.5.3.1.8 asks for 100 recipients, senders of
bulk mail pipeline thousands."""
MAX_HELD = 4_096
"""Replies that wait for a command: more than any disorder of a capture explains."""
_LOOK_AHEAD = 64
"""Commands that may be passed over on the way to the one that a reply can answer."""

LOST = Command("lost")
"""Stands before commands of which it is not known which one the next reply answers."""
GAP = Command("gap")
"""Stands where commands are missing. It comes out among the exchanges."""
_MARKS = frozenset({LOST.verb, GAP.verb})


Exchange = tuple[Command, Reply | None]
"""A command and what was said to it; None: no packet holds it, or there was nothing."""

_GREETED = frozenset({GREETING.verb, "STARTTLS", "XCLIENT"})
_AUTHENTICATING = frozenset({"AUTH", RESPONSE.verb})
_OWNERS = {
    220: _GREETED,
    221: frozenset({"QUIT"}),
    235: _AUTHENTICATING,
    334: _AUTHENTICATING,
    354: frozenset({"DATA"}),
}
"""Positive replies that answer certain commands only (RFC 5321 section 4.3.2, RFC 4954)."""
_PARTICULAR = frozenset[str]().union(*_OWNERS.values()) - {"XCLIENT"} | {""} | _MARKS
"""Commands that no other positive reply answers. "" is no command: it is refused."""


def can_answer(code: int, verb: str) -> bool:
    """Whether a server may say this to that command."""
    if code >= 400:
        return verb not in _MARKS
    owners = _OWNERS.get(code)
    return verb not in _PARTICULAR if owners is None else verb in owners


def _behind_gap(commands: list[Command]) -> int:
    """Index of the first command behind the last place where some are missing."""
    return max((index + 1 for index, command in enumerate(commands) if command is GAP), default=0)


class Replies:
    """The commands without a reply and the replies without a command."""

    def __init__(self, *, from_start: bool) -> None:
        self.outstanding: deque[Command] = deque([GREETING if from_start else LOST])
        self._since_gap = int(from_start)
        """Commands since the last place where some are missing, outstanding or not."""
        self.held: deque[Reply] = deque()
        self.anomalies: set[str] = set()
        self._pipelines = False
        self._server_spoke = False
        # Nothing is missing; where the step is lost all the same, a reply was odd.
        self._is_complete = from_start
        self._is_odd = False
        self._lacks_replies = False
        """Replies are missing since the step was lost."""

    @property
    def is_lost(self) -> bool:
        """Whether it is open which command the next reply answers."""
        return bool(self.outstanding) and self.outstanding[0].verb in _MARKS

    @property
    def is_greeting_due(self) -> bool:
        """Whether the server has not greeted yet."""
        return bool(self.outstanding) and self.outstanding[0] is GREETING

    @property
    def has_commands(self) -> bool:
        """Whether any command waits for a reply."""
        return bool(self.outstanding) and self.outstanding[-1].verb not in _MARKS

    def command(self, command: Command) -> Iterable[Exchange]:
        """The client asked for something."""
        outstanding = self.outstanding
        if outstanding and not self.is_lost:
            self._pipelines = True
        outstanding.append(command)
        self._since_gap += 1
        if self.held and not self.is_lost:
            return self._settle(has_gone_on=True)
        return self._oldest() if len(outstanding) > MAX_OUTSTANDING else ()

    def reply(self, reply: Reply, *, has_gone_on: bool) -> Iterable[Exchange]:
        """The server said something. `has_gone_on`: octets behind the last command were seen."""
        self._server_spoke = True
        outstanding = self.outstanding
        if outstanding and not self.held and can_answer(reply.code, outstanding[0].verb):
            return ((outstanding.popleft(), reply),)  # the usual case
        self.held.append(reply)
        if not self.is_lost:
            return self._settle(has_gone_on=has_gone_on)
        return self._align() if self._is_certain(has_gone_on=has_gone_on) else self._surplus()

    def client_goes_on(self) -> Iterable[Exchange]:
        """The client sends octets behind its last command; if it does not pipeline, it has the reply."""
        spoke, self._server_spoke = self._server_spoke, False
        if not spoke or not self.held or not self.is_lost:
            return ()
        self._pipelines |= len(self.held) > 1 and not self._is_odd
        is_certain = self._is_odd or not self._pipelines or self._is_certain(has_gone_on=True)
        return self._align() if is_certain else ()

    def gap_in_replies(self) -> Iterator[Exchange]:
        """Octets of the server are missing: maybe replies to all that is outstanding."""
        yield from self._drop_held()
        self._lose_step()
        self._is_odd = self._is_complete = False
        self._lacks_replies = True

    def gap_in_commands(self) -> Iterable[Exchange]:
        """Octets of the client are missing: replies that are held may be to these."""
        self._is_odd = self._is_complete = False
        waiting = bool(self.outstanding) and not self.is_lost
        self._miss()
        return () if waiting else self.give_up()

    def miss_commands(self) -> None:
        """What the client sends is not understood: it may ask for something unseen."""
        if not self.outstanding or self.has_commands:
            self._miss()

    def find_step(self) -> None:
        """354 was said, so all commands before are answered, and the next reply is to the message."""
        if not self.has_commands:
            self.outstanding.clear()
            self._lacks_replies = False

    def give_up(self) -> Iterator[Exchange]:
        """No reply to what was asked so far will be found any more."""
        commands = [command for command in self.outstanding if command is not LOST]
        begin = _behind_gap(commands)
        self.outstanding.clear()
        self._lose_step()
        for command in commands[:begin]:
            yield command, None
        yield from self._drop_held()
        for command in commands[begin:]:
            yield command, None

    def end(self) -> Iterator[Exchange]:
        """Nothing more will be said."""
        if self.held and self.is_lost and (self._is_odd or self._is_certain(has_gone_on=True)):
            yield from self._align()
        if self.held and not self.is_lost:
            self.anomalies.add("surplus_reply")
        yield from self.give_up()

    def _oldest(self) -> Iterator[Exchange]:
        """Give up the command that has waited longest."""
        self.anomalies.add("many_unanswered")
        self._lose_step()
        self.outstanding.popleft()
        yield self.outstanding.popleft(), None
        self.outstanding.appendleft(LOST)

    def _surplus(self) -> Iterator[Exchange]:
        """Give up the reply that was held longest, if there are too many."""
        if len(self.held) > MAX_HELD:
            self.anomalies.add("surplus_reply")
            yield UNSEEN, self.held.popleft()

    def _settle(self, *, has_gone_on: bool) -> Iterator[Exchange]:
        """Give the held replies to the outstanding commands in order, where they can answer."""
        while self.held and self.outstanding and not self.is_lost:
            code = self.held[0].code
            ahead = enumerate(islice(self.outstanding, _LOOK_AHEAD))
            found = next((i for i, c in ahead if can_answer(code, c.verb)), None)
            if found is None:
                self._lose_step()
                self._is_odd = self._is_complete
                if self._is_certain(has_gone_on=has_gone_on):
                    yield from self._align()
                return
            if found:
                self.anomalies.add("command_without_reply")
            for _ in range(found):
                yield self.outstanding.popleft(), None
            yield self.outstanding.popleft(), self.held.popleft()
        yield from self._surplus()

    def _align(self) -> Iterator[Exchange]:
        """Give the held replies to the outstanding commands from the last of both backwards.

        Not beyond the last place where commands are missing, and not beyond what does not fit.
        """
        commands = [command for command in self.outstanding if command is not LOST]
        last = self.held[-1].code
        if self._is_odd and len(commands) == 1 and last < 300 and not can_answer(last, commands[0].verb):
            self.anomalies.add("unexpected_reply")  # to the only command that it can be for
            matched = 1
        else:
            backwards = zip(reversed(self.held), reversed(commands[_behind_gap(commands) :]), strict=False)
            fitting = takewhile(lambda pair: can_answer(pair[0].code, pair[1].verb), backwards)
            matched = len(list(fitting))
        unanswered = commands[: len(commands) - matched]
        strays = [self.held.popleft() for _ in range(len(self.held) - matched)]
        exchanges: list[Exchange] = [(command, None) for command in unanswered]
        exchanges += [(UNSEEN, stray) for stray in strays]
        exchanges += zip(commands[len(unanswered) :], self.held, strict=True)
        self.outstanding.clear()
        self.held.clear()
        self._is_odd = self._lacks_replies = False
        yield from exchanges

    def _miss(self) -> None:
        self.outstanding.append(GAP)
        self._since_gap = 0

    def _lose_step(self) -> None:
        if not self.is_lost:
            self.outstanding.appendleft(LOST)

    def _is_certain(self, *, has_gone_on: bool) -> bool:
        """Whether only the last command can have the last reply. `has_gone_on`: it is the last for sure."""
        if not has_gone_on:
            there = len(self.outstanding) - (bool(self.outstanding) and self.outstanding[0] is LOST)
            if self._lacks_replies or len(self.held) > min(self._since_gap, there):
                return False
        reply, last = self.held[-1], self.outstanding[-1].verb if self.outstanding else ""
        if reply.code == 250:  # of several lines: what EHLO is answered with
            return last == "EHLO" and len(reply.lines) > 1
        return last in _OWNERS.get(reply.code, ()) and last != GREETING.verb

    def _drop_held(self) -> Iterator[Exchange]:
        while self.held:
            yield UNSEEN, self.held.popleft()

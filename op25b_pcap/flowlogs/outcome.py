"""From the letters of both sides to the contract's `outcome` and to Zeek's state and history.

In: what each side is known to have sent (see `Entry`). Out: the word, or None where the log does
not know enough. The order of the questions is that of the flows stage.
"""

from __future__ import annotations

from functools import lru_cache

_USUAL_ORDER = (("S", False), ("H", True), *((letter, by) for letter in "DFR" for by in (False, True)))
"""Each letter of a history, and whether it is the called side's."""


@lru_cache(maxsize=4096)
def outcome(opener: str | None, called: str | None, *, is_complete: bool) -> str | None:
    """The strongest thing that is known, from `connected` down to silence.

    `is_complete`: what the log does not name has not happened. Else a missing answer says nothing,
    and that no SYN was seen does not make a connection begin earlier.
    """
    if opener is None and called is None:
        return None
    opener, called = opener or "", called or ""
    went_on = _any(opener, "ADF") or _any(called, "DF")
    if "S" not in opener and "H" not in called:
        return "connected" if went_on and not is_complete else "midstream"
    if went_on:
        return "connected"
    if "S" not in opener:
        return "midstream"
    if not is_complete or "?" in opener:
        return None
    if "H" in called:
        return "half_open"
    return "refused" if "R" in called else "no_answer"


def conn_state(opener: str, called: str, became: str | None) -> str | None:
    """Zeek's state where summed-up flags leave no choice.

    In what order a FIN and a RST came they do not tell, so both together leave one.
    """
    if became is None or _any(opener + called, "?"):
        return None
    resets = ["R" in opener, "R" in called]
    closes = ["F" in opener, "F" in called]
    if became == "no_answer":
        return None if resets[0] else "S0"
    if became == "refused":
        return None if resets[0] else "REJ"
    if any(resets):
        if all(resets) or any(closes) or not (opener and called):
            return None
        return "RSTR" if resets[1] else "RSTO"
    if any(closes):
        if all(closes):
            return "SF"
        return (("S2" if called else "SH") if closes[0] else "S3") if opener else "SHR"
    if "S" in opener and "H" in called:
        return "S1"
    return "OTH"


def history(opener: str, called: str) -> str | None:
    """Zeek's letters, each once, in the order in which connections nearly always go.

    An acknowledgement alone is not named: summed-up flags do not tell it from one with data.
    """
    if _any(opener + called, "?"):
        return None
    told = [
        letter.lower() if by_called else letter
        for letter, by_called in _USUAL_ORDER
        if letter in (called if by_called else opener)
    ]
    return "".join(told) or None


def is_certain(told: str) -> bool:
    """Whether a history could have no other order."""
    return len(told) < 2 or told in ("Sh", "Sr")


def _any(told: str, letters: str) -> bool:
    return any(letter in told for letter in letters)

"""Scapy as a quiet reader of single headers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import op25b_pcap
from op25b_pcap.decode.headers import GRE, IP, TCP, header
from op25b_pcap.decode.steps import Skip, View
from tests.encapsulations import IP4

ENGINE = Path(op25b_pcap.__file__).parent / "decode"
IMPORT = """
import socket
class Forbidden(socket.socket):
    def __init__(self, *_, **__):
        raise OSError("no sockets here")
socket.socket = Forbidden
import op25b_pcap.decode.dissect
"""


def test_importing_the_engine_asks_nobody_and_says_nothing():
    command = [sys.executable, "-W", "error", "-c", IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_scapy_is_as_it_was_for_whoever_else_uses_it():
    code = "import op25b_pcap.decode.headers; from scapy.config import conf; "
    code += "print(conf.route_autoload, conf.route6_autoload, 'reload' in vars(conf.ifaces))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True True False\n"


def test_one_module_knows_scapy():
    importers = set()
    for path in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "scapy" for name in names):
                importers.add(path.name)
    assert importers == {"headers.py"}


def test_fields_and_what_follows():
    found, rest = header(IP, View(IP4, len(IP4)), 20)
    assert (found["ttl"], found["proto"], rest) == (64, 6, View(IP4[20:], 24))


def test_fields_that_are_not_always_there():
    bare, rest = header(GRE, View(b"\0\0\x08\0data" + bytes(12), 20), 16)
    assert ("key" in bare, rest.data[:4]) == (False, b"data")
    keyed, rest = header(GRE, View(b"\x20\0\x08\0\0\0\0\x2adata", 12), 16)
    assert (keyed["key"], rest) == (42, View(b"data", 4))


@pytest.mark.parametrize(("length", "reason"), [(40, "truncated"), (19, "malformed")])
def test_too_few_octets(length, reason):
    with pytest.raises(Skip, match=reason):
        header(TCP, View(bytes(19), length), 20)

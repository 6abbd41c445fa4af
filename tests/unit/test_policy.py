"""A policy file: what it may say, and the sentence for every fault."""

from __future__ import annotations

import hashlib

import pytest

from op25b_pcap.policy import PolicyFault, load

SOUND = """\
[policy]
name = "isp"
observation_point = "outside"
[networks]
dynamic = ["203.0.113.0/24", "file:pools.txt"]
static = ["203.0.113.248/29"]
[servers]
smarthosts = ["192.0.2.25", "2001:db8::25"]
[actions]
internal = "allow"
"""


def written(tmp_path, text: str, pools: str = "198.51.100.0/25  # a pool\n\n# nothing else\n"):
    (tmp_path / "pools.txt").write_text(pools)
    path = tmp_path / "p.toml"
    path.write_text(text)
    return path


def test_a_sound_policy(tmp_path):
    policy = load(written(tmp_path, SOUND))
    assert (policy.name, policy.observation_point, policy.assumed) == ("isp", "outside", False)
    assert [str(p) for p in policy.of("dynamic")] == ["203.0.113.0/24", "198.51.100.0/25"]
    assert [str(p) for p in policy.of("smarthosts")] == ["192.0.2.25/32", "2001:db8::25/128"]
    assert policy.of("routers") == ()
    assert policy.actions == {"internal": "allow"}


def test_the_digest_covers_the_files_it_names(tmp_path):
    path = written(tmp_path, SOUND)
    pools = (tmp_path / "pools.txt").read_bytes()
    assert load(path).digest == hashlib.sha256(SOUND.encode() + pools).hexdigest()
    before = load(path).digest
    (tmp_path / "pools.txt").write_text("198.51.100.0/26\n")
    assert load(path).digest != before


def test_an_empty_policy_is_named_after_its_file_and_knows_nobody(tmp_path):
    policy = load(written(tmp_path, ""))
    assert (policy.name, policy.observation_point, policy.of("dynamic")) == ("p", "unknown", ())


FAULTS = [
    ('[networks]\ndynamic = ["203.0.113.0/33"]', 2, "networks.dynamic: '203.0.113.0/33' is no address"),
    (
        '[networks]\ndynamic = [\n  "192.0.2.0/24",\n  "203.0.113.5/24",\n]',
        4,
        "networks.dynamic: '203.0.113.5/24' has bits set beyond its length; write '203.0.113.0/24'",
    ),
    ('[networks]\ndynamic = ["fe80::1%eth0"]', 2, "networks.dynamic: 'fe80::1%eth0' has a zone"),
    ('[networks]\ndynamic = ["::ffff:192.0.2.0/120"]', 2, "networks.dynamic: '::ffff:192.0.2.0/120' is no"),
    ('[networks]\ndynamic = "203.0.113.0/24"', 2, "networks.dynamic: must be a list"),
    ("[networks]\ndynamic = [25]", 2, "networks.dynamic: 25 is no address or prefix in quotes"),
    ("[networks]\ndynamik = []", 2, "networks.dynamik: no such key; allowed: dynamic, static"),
    ("[network]\ndynamic = []", 1, "[network]: no such section; allowed: policy, networks, servers"),
    ('networks = "all"', 1, "[networks]: must be a section"),
    ('[policy]\nobservation_point = "in"', 2, "policy.observation_point: is 'in'; allowed: inside, outside"),
    ("[policy]\nname = 1", 2, "policy.name: must be a text"),
    ('[actions]\nlocal_mx = "deny"', 2, "actions.local_mx: is 'deny'; allowed: allow, block, none"),
    ('[actions]\nlocal = "block"', 2, "actions.local: no such key; allowed: smarthost, direct_to_mx"),
    (
        '[networks]\ndynamic = ["192.0.2.0/24"]\nstatic = ["192.0.2.0/24"]',
        3,
        "networks.static: 192.0.2.0/24 is also listed as dynamic",
    ),
]


@pytest.mark.parametrize(("text", "line", "sentence"), FAULTS, ids=[f[2][:40] for f in FAULTS])
def test_every_fault_is_told_with_file_line_and_key(tmp_path, text, line, sentence):
    path = written(tmp_path, text)
    with pytest.raises(PolicyFault) as fault:
        load(path)
    assert str(fault.value).startswith(f"{path}:{line}: {sentence}")


def test_all_faults_are_told_at_once(tmp_path):
    path = written(tmp_path, '[policy]\nname = 1\nx = 2\n[networks]\nstatic = ["nonsense"]\n')
    with pytest.raises(PolicyFault) as fault:
        load(path)
    assert len(str(fault.value).splitlines()) == 3


def test_a_fault_in_a_named_file_is_told_with_that_file_and_line(tmp_path):
    path = written(tmp_path, SOUND, pools="198.51.100.0/25\n# fine\n198.51.100.1/25\n")
    with pytest.raises(PolicyFault) as fault:
        load(path)
    assert str(fault.value).startswith(f"{tmp_path / 'pools.txt'}:3: '198.51.100.1/25' has bits set")


def test_a_named_file_that_is_not_there(tmp_path):
    path = written(tmp_path, '[networks]\ndynamic = ["file:none.txt"]')
    with pytest.raises(PolicyFault, match=r"p\.toml:2: networks\.dynamic: .*none\.txt: cannot be read"):
        load(path)


def test_of_very_many_faults_the_first_hundred_are_told(tmp_path):
    hosts = ", ".join(f'"10.0.{n // 250}.{n % 250}"' for n in range(1_000))
    path = written(tmp_path, f"[networks]\ndynamic = [{hosts}]\nstatic = [{hosts}]")
    with pytest.raises(PolicyFault) as fault:
        load(path)
    *told, rest = str(fault.value).splitlines()
    assert len(told) == 100
    assert rest == f"{path}: and 900 more"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[policy\n", r"no valid TOML: .*line 1"),
        (b"x = " + b"[" * 20_000 + b"]" * 20_000, "no valid TOML: lists in lists"),
        (b"x = " + b"1" * 5_000, "no valid TOML: .*digits"),
        (b"\xff\xfe\0", "no UTF-8 text"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_toml_at_all(tmp_path, content, reason):
    path = tmp_path / "p.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyFault, match=reason):
        load(path)

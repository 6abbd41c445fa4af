"""The lab's mail servers: Postfix, Dovecot, aiosmtpd and dnsmasq, each in its namespace.

Each Postfix has configuration, queue and log of its own; what is accepted for a domain of its
own is thrown away, so nothing ever lands in a mailbox. Nothing of the host's configuration is
read or changed, and no server outlives the `with` block.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.lab.network import (
    FRIEND,
    LOCAL_MX,
    MX,
    MX_BUSY,
    MX_OLD,
    MX_REFUSING,
    MX_V6,
    OTHER_MX,
    OWN_SERVER,
    PROVIDER,
    RESOLVER,
    SMARTHOST,
    SMARTHOST_V6,
    Network,
    wait_until,
)

USER, PASSWORD = "haruko@example.org", "open-sesame-25"
"""The one account of every server; the password must turn up in no report."""

NAMES = {
    "mx.example.com": (MX, MX_V6),
    "mx.example.net": (OTHER_MX,),
    "mail.friend.example.org": (FRIEND,),
    "mail.provider.example.org": (PROVIDER,),
    "relay.isp.example": (SMARTHOST, SMARTHOST_V6),
    "mx.isp.example": (LOCAL_MX,),
}
EXCHANGERS = {
    "example.com": "mx.example.com",
    "example.net": "mx.example.net",
    "isp.example": "mx.isp.example",
}

MAIN = """
compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
queue_directory = {place}/queue
data_directory = {place}/data
maillog_file = {place}/log
maillog_file_prefixes = {place}
inet_interfaces = all
smtp_bind_address_enforce = no
# A cached connection would outlive the play that it belongs to.
smtp_connection_cache_on_demand = no
default_database_type = inline
alias_maps =
mydestination =
mynetworks_style = host
smtpd_peername_lookup = no
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtpd_delay_reject = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {certificate}
smtpd_tls_loglevel = 1
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
# What the lab's domains accept is not delivered, but counted as delivered.
virtual_transport = discard
"""
ISP_MAIN = """
myhostname = relay.isp.example
mynetworks = 127.0.0.0/8, 203.0.113.0/24, [2001:db8:100::]/40
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
inet_protocols = all
smtp_address_preference = ipv4
smtp_tls_security_level = none
virtual_mailbox_domains = isp.example
virtual_mailbox_maps = inline:{ postmaster@isp.example=x }
"""
WORLD_MAIN = r"""
myhostname = mx.example.com
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_sender_restrictions = check_sender_access inline:{
    { unwanted@example.org = 550 5.7.1 Not from you } }
smtpd_recipient_restrictions = check_recipient_access inline:{
    { grey@example.com = 450 4.2.0 Greylisted, come back later }
    { policy@example.com = 554 5.7.1 Not to this one } }
smtpd_data_restrictions = check_sender_access inline:{
    { nodata@example.org = 554 5.7.1 No data of yours } }
virtual_mailbox_domains = example.com
virtual_mailbox_maps = regexp:{ {/^"?(aiko|emi|grey|policy|long name)"?@example\.com$$/ x} }
default_transport = discard
relay_transport = discard
"""
MASTER = """
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
smtp unix - - n - - smtp
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""


def _smtpd(address: str, port: int, *settings: str) -> str:
    where = f"[{address}]" if ":" in address else address
    lines = [f"{where}:{port} inet n - n - - smtpd"]
    return "\n  -o ".join([*lines, *settings]) + "\n"


QUEUE = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("maildrop", "private", "public", "saved", "trace"),
)
AUTH, IMPLICIT = "smtpd_sasl_auth_enable=yes", "smtpd_tls_wrappermode=yes"
ISP_SERVICES = (
    _smtpd(SMARTHOST, 25, AUTH)
    + _smtpd(SMARTHOST_V6, 25)
    + _smtpd(SMARTHOST, 587, AUTH)
    + _smtpd(SMARTHOST, 465, AUTH, IMPLICIT)
    + _smtpd(LOCAL_MX, 25, "myhostname=mx.isp.example", "smtpd_relay_restrictions=reject_unauth_destination")
)
FRIEND_NAME, PROVIDER_NAME = "myhostname=mail.friend.example.org", "myhostname=mail.provider.example.org"
WORLD_SERVICES = (
    _smtpd(MX, 25)
    + _smtpd(MX_V6, 25)
    + _smtpd(
        MX_REFUSING, 25, "{ smtpd_client_restrictions = check_client_access static:{554 5.7.1 Go away} }"
    )
    + _smtpd(MX_BUSY, 25, "{ smtpd_client_restrictions = check_client_access static:{421 4.7.0 Too busy} }")
    + _smtpd(
        MX_OLD,
        25,
        # As before RFC 1869: EHLO is an unknown command.
        "{ smtpd_command_filter = regexp:{ {/^EHLO .*/ XEHLO} } }",
    )
    + _smtpd(FRIEND, 25, AUTH, FRIEND_NAME)
    + _smtpd(FRIEND, 587, AUTH, FRIEND_NAME)
    + _smtpd(FRIEND, 465, AUTH, FRIEND_NAME, IMPLICIT)
    + _smtpd(PROVIDER, 587, AUTH, PROVIDER_NAME)
    + _smtpd(PROVIDER, 2525, AUTH, PROVIDER_NAME, "smtpd_tls_security_level=none")
    + _smtpd(PROVIDER, 465, AUTH, PROVIDER_NAME, IMPLICIT)
)
DOVECOT = """
base_dir = {place}/dovecot
state_dir = {place}/dovecot
log_path = {place}/dovecot.log
auth_verbose = yes
protocols = pop3 imap
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 apop
auth_failure_delay = 0
mail_location = maildir:{place}/mail
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {place}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={place}/mail
}}
# One refused login would slow down all others from the same address.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {place}/queue/private/auth {{
    mode = 0666
  }}
}}
"""


class Servers:
    """All servers, listening, for as long as the `with` block lasts."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._stack = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        # Postfix and Dovecot give up root and must still reach their files.
        self.place = Path(tempfile.mkdtemp(prefix="op25b-lab-"))

    def __enter__(self) -> Servers:
        self._stack.callback(shutil.rmtree, self.place, ignore_errors=True)
        self._stack.callback(self._stop)
        try:
            self.place.chmod(0o755)
            self._certificate = self.place / "certificate.pem"
            self._make_certificate()
            self._postfix("isp", ISP_MAIN, MASTER + ISP_SERVICES)
            self._postfix("world", WORLD_MAIN, MASTER + WORLD_SERVICES)
            self._dovecot("isp")
            self._dovecot("world")
            self._resolver()
            self._aiosmtpd("world", OTHER_MX)
            self._aiosmtpd("subscriber", OWN_SERVER)
            self._wait_until_listening()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self, namespace: str) -> str:
        """What the Postfix of the namespace has logged."""
        return (self.place / namespace / "log").read_text()

    def idle(self) -> bool:
        """Whether the smarthost has nothing left that it could deliver now."""
        queue = self.place / "isp/queue"
        return not any(any((queue / name).iterdir()) for name in ("incoming", "active", "maildrop"))

    def _start(self, namespace: str, *words: str | Path) -> None:
        log = self._stack.enter_context((self.place / "servers.log").open("a"))
        command = self._network.command(namespace, *words)
        self._processes.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        )

    def _stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(20)

    def _make_certificate(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=lab.example.org"),
                *("-keyout", self._certificate, "-out", self.place / "public.pem"),
            ],
            check=True,
            capture_output=True,
        )
        with self._certificate.open("a") as both:
            both.write((self.place / "public.pem").read_text())

    def _postfix(self, namespace: str, main: str, master: str) -> None:
        place = self.place / namespace
        for directory in QUEUE:
            (place / "queue" / directory).mkdir(parents=True)
            shutil.chown(place / "queue" / directory, "postfix", "postfix")
        (place / "queue/pid").mkdir()
        (place / "data").mkdir()
        shutil.chown(place / "data", "postfix", "postfix")
        common = MAIN.format(place=place, certificate=self._certificate)
        (place / "main.cf").write_text(common + main)
        (place / "master.cf").write_text(master)
        self._start(namespace, *self._with_resolver(), "/usr/lib/postfix/sbin/master", "-d", "-c", place)

    def _with_resolver(self) -> list[str]:
        """A mount namespace whose resolv.conf names the lab's resolver (libc knows no other way)."""
        configuration = self.place / "resolv.conf"
        configuration.write_text(f"nameserver {RESOLVER}\n")
        bind = f'mount --bind {configuration} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", bind, "sh"]

    def _dovecot(self, namespace: str) -> None:
        place = self.place / namespace
        (place / "mail").mkdir()
        shutil.chown(place / "mail", "nobody", "nogroup")
        (place / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        configuration = place / "dovecot.conf"
        configuration.write_text(DOVECOT.format(place=place, certificate=self._certificate))
        self._start(namespace, "dovecot", "-F", "-c", configuration)

    def _resolver(self) -> None:
        names = [f"--host-record={name},{','.join(addresses)}" for name, addresses in NAMES.items()]
        exchangers = [f"--mx-host={domain},{host},10" for domain, host in EXCHANGERS.items()]
        self._start(
            "isp",
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"),
            *(
                "--no-resolv",
                "--no-hosts",
                "--local=/#/",
                f"--listen-address={RESOLVER}",
                "--bind-interfaces",
            ),
            *(*names, *exchangers),
        )

    def _aiosmtpd(self, namespace: str, address: str) -> None:
        self._start(
            namespace,
            sys.executable,
            "-m",
            "aiosmtpd",
            "-n",
            "-c",
            "aiosmtpd.handlers.Sink",
            "-l",
            f"{address}:25",
        )

    def _wait_until_listening(self) -> None:
        for namespace, count in (("isp", 5 + 4 + 1), ("world", 11 + 4 + 1), ("subscriber", 1)):
            wait_until(
                lambda namespace=namespace, count=count: len(self._listening(namespace)) >= count,
                f"servers in {namespace}: {self._listening(namespace)}",
            )

    def _listening(self, namespace: str) -> set[str]:
        lines = self._network.run(namespace, "ss", "-Hltn").splitlines()
        return {line.split()[3] for line in lines}

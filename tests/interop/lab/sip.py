"""A SIP registrar (kamailio), a phone (baresip) and a media proxy (rtpengine) in a laboratory; icepath's example phone.

Kamailio asks for a password, and keeps the way back to phones behind NATs; it never touches SDP. Baresip has no sound
card: its sound bridge gives back what it is told, so that it echoes. It is told what to do on its standard input.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from interop.lab.namespaces import Laboratory, LaboratoryError, Namespace
from interop.lab.python import TESTS, module_command

PORT = 5060
NG_PORT = 2223
PASSWORD = "secret"
START_TIMEOUT = 10.0
PHONE = TESTS.parent / "examples" / "sip" / "phone.py"
BARESIP_MODULES = Path("/usr/lib/baresip/modules")
KAMAILIO_MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules", "/usr/lib/aarch64-linux-gnu/kamailio/modules")

KAMAILIO = """#!KAMAILIO
debug=1
log_stderror=yes
fork=no
children=1
auto_aliases=no
disable_tcp=yes
listen=udp:{host}:{port}
mpath="{modules}/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "nathelper.so"
modparam("usrloc", "db_mode", 0)
modparam("nathelper", "received_avp", "$avp(RECEIVED)")
modparam("registrar", "received_avp", "$avp(RECEIVED)")
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    force_rport();
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("icelab", "{password}", "0")) {{ www_challenge("icelab", "1"); exit; }}
        fix_nated_register();
        save("location");
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        loose_route();
        handle_ruri_alias();
        if (is_method("INVITE")) add_contact_alias();
        t_on_reply("NAT");
        t_relay();
        exit;
    }}
    if (!pv_proxy_authenticate("icelab", "{password}", "0")) {{ proxy_challenge("icelab", "1"); exit; }}
    consume_credentials();
    record_route();
    add_contact_alias();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_on_reply("NAT");
    t_relay();
}}
onreply_route[NAT] {{ if (status =~ "(183|2[0-9][0-9])" && is_present_hf("Contact")) add_contact_alias(); }}
"""

BARESIP = """sip_listen\t0.0.0.0:{port}
sip_trans_def\tudp
audio_player\taubridge,nil
audio_source\taubridge,nil
audio_alert\taubridge,nil
rtcp_mux\t{mux}
module_path\t{modules}
module\tstdio.so
module\tg711.so
module\taubridge.so
module\tstun.so
module\tturn.so
module\tice.so
module\trtcpsummary.so
module_tmp\taccount.so
module_app\tmenu.so
"""

ECHO = """import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("{host}", {port}))
while True:
    udp.sendto(*udp.recvfrom(4096))
"""


@dataclass
class Program:
    """A running program, what it wrote, and a way to wait for more."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def text(self) -> str:
        """All it wrote."""
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, timeout: float = START_TIMEOUT) -> re.Match[str]:
        """The first match in what it writes; raises when none comes."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = re.search(pattern, self.text)
            if found is not None:
                return found
            if self.process.poll() is not None:
                time.sleep(0.1)
                found = re.search(pattern, self.text)
                if found is not None:
                    return found
                break
            time.sleep(0.02)
        raise LaboratoryError(f"{pattern!r} did not come:\n{self.text[-6000:]}")

    def write(self, text: str) -> None:
        """Writes to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # it is closed when the program is ended
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))


def missing() -> str | None:
    """Why this cannot be run here, or None."""
    for program, package in (("kamailio", "kamailio"), ("baresip", "baresip-core")):
        if shutil.which(program) is None:
            return f"the package {package} is not installed"
    return None if _kamailio_modules() else "kamailio's modules are not where they are expected"


def start_kamailio(laboratory: Laboratory, namespace: Namespace, host: str) -> Program:
    """Starts the registrar and proxy; returns once it listens."""
    folder = laboratory.folder / "kamailio"
    folder.mkdir()
    config = folder / "kamailio.cfg"
    config.write_text(KAMAILIO.format(host=host, port=PORT, modules=_kamailio_modules(), password=PASSWORD))
    command = ["kamailio", "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(folder)]
    program = Program(laboratory.start(namespace, command, stderr=subprocess.STDOUT))
    _await_listening(program, PORT)
    return program


def start_baresip(
    laboratory: Laboratory, namespace: Namespace, user: str, proxy: str, *, stun: str, mux: bool = True
) -> Program:
    """Starts a phone that answers by itself, registered with the proxy."""
    folder = laboratory.folder / f"baresip-{user}"
    folder.mkdir()
    (folder / "config").write_text(BARESIP.format(port=PORT, modules=BARESIP_MODULES, mux="yes" if mux else "no"))
    (folder / "contacts").write_text("")
    options = f"auth_pass={PASSWORD};regint=60;medianat=ice;audio_codecs=pcmu;answermode=auto"
    if stun:
        options += f';stunserver="stun:{stun}"'
    (folder / "accounts").write_text(f"<sip:{user}@{proxy};transport=udp>;{options}\n")
    command = ["env", f"HOME={folder}", "baresip", "-f", str(folder), "-s", "-v"]
    program = Program(laboratory.start(namespace, command, stderr=subprocess.STDOUT))
    program.wait_for(r"200 OK|useragent\(?s? registered")
    return program


def start_phone(laboratory: Laboratory, namespace: Namespace, user: str, proxy: str, *options: str) -> Program:
    """Starts the example phone, registered with the proxy."""
    source = f"PYTHONPATH={TESTS.parent / 'src'}"
    command = ["env", source, "PYTHONUNBUFFERED=1", sys.executable, str(PHONE), "--proxy", proxy, "--user", user]
    program = Program(
        laboratory.start(namespace, [*command, "--password", PASSWORD, *options], stderr=subprocess.STDOUT)
    )
    program.wait_for("registered")
    return program


def missing_rtpengine() -> str | None:
    """Why rtpengine cannot be run here, or None."""
    return None if shutil.which("rtpengine") else "the package rtpengine-daemon is not installed"


def start_rtpengine(laboratory: Laboratory, namespace: Namespace, host: str) -> Program:
    """Starts rtpengine without its kernel module; returns once it takes commands."""
    command = [
        *("rtpengine", "--config-file=none", "--table=-1", "--foreground", "--log-stderr", f"--interface={host}"),
        *(f"--listen-ng={host}:{NG_PORT}", "--port-min=31000", "--port-max=31100"),
        f"--pidfile={laboratory.folder}/rtpengine.pid",
    ]
    program = Program(laboratory.start(namespace, command, stderr=subprocess.STDOUT))
    _await_listening(program, NG_PORT)
    return program


def start_echo(laboratory: Laboratory, namespace: Namespace, host: str, port: int) -> Program:
    """Starts a plain RTP side: it sends every datagram back."""
    program = Program(laboratory.start(namespace, [sys.executable, "-c", ECHO.format(host=host, port=port)]))
    _await_listening(program, port)
    return program


def start_media(laboratory: Laboratory, namespace: Namespace, *arguments: str) -> Program:
    """Starts one call between icepath and rtpengine."""
    command = [*module_command("interop.lab.sip_media"), *arguments]
    return Program(laboratory.start(namespace, command, stderr=subprocess.STDOUT))


def _await_listening(program: Program, port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _listens(program.process.pid, port):
        if time.monotonic() > deadline or program.process.poll() is not None:
            raise LaboratoryError(f"nothing listens on {port}:\n{program.text[-2000:]}")
        time.sleep(0.02)


def _kamailio_modules() -> str | None:
    return next((folder for folder in KAMAILIO_MODULES if os.path.isdir(folder)), None)


def _listens(pid: int, port: int) -> bool:
    try:
        rows = Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(int(row.split()[1].rpartition(":")[2], 16) == port for row in rows)

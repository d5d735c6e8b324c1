"""Starts coturn as the STUN and TURN server of a laboratory, and ends it cleanly.

It listens on every address given: UDP and TCP on 3478 (TLS and DTLS too: coturn tells them apart by the first
byte), the same on 443, TLS on 5349. One user, one realm, a self-signed certificate made for the run. Nothing is
written outside the laboratory's folder. Readiness is read from the kernel's socket tables, so nothing is sent to
find out.
"""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interop.lab.namespaces import Laboratory, LaboratoryError, Namespace, run

PROGRAM = "turnserver"
PORT = 3478
WEB_PORT = 443
TLS_PORT = 5349
USER = "user"
PASSWORD = "pass"
REALM = "icelab"
START_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Coturn:
    """A running server."""

    program: subprocess.Popen[str]
    log: Path
    certificate: Path

    def log_text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def missing() -> str | None:
    """Why coturn cannot be started here, or None."""
    return None if shutil.which(PROGRAM) else f"coturn is not installed (no {PROGRAM})"


def start_coturn(
    laboratory: Laboratory, namespace: Namespace | None, addresses: Sequence[str], *, extra: Sequence[str] = ()
) -> Coturn:
    """Starts the server and returns when it listens; it ends with the laboratory.

    `extra` goes to its command line as it is, `--allow-loopback-peers` for instance.
    """
    folder = laboratory.folder
    certificate, key = make_certificate(folder, addresses)
    log = folder / "coturn.log"
    arguments = [PROGRAM, "-n", "--no-cli", "--fingerprint", "--lt-cred-mech", "-r", REALM, "-u", f"{USER}:{PASSWORD}"]
    for address in addresses:
        arguments += ["-L", address, "-E", address, f"--aux-server={_bracketed(address)}:{WEB_PORT}"]
    arguments += [
        f"-p{PORT}",
        f"--tls-listening-port={TLS_PORT}",
        f"--cert={certificate}",
        f"--pkey={key}",
        "--min-port=49152",
        "--max-port=51151",
        "--relay-threads=1",
        "--no-multicast-peers",
        f"--pidfile={folder}/coturn.pid",
        f"--db={folder}/coturn.db",
        f"--log-file={log}",
        "--simple-log",
        "--no-stdout-log",
        *extra,
    ]
    server = Coturn(laboratory.start(namespace, arguments), log, certificate)
    _await_listening(server, addresses)
    return server


def make_certificate(folder: Path, addresses: Sequence[str]) -> tuple[Path, Path]:
    """Makes a self-signed certificate for the addresses; gives its path and its key's."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not certificate.exists():
        names = ",".join(f"IP:{address}" for address in addresses)
        run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=icelab"),
                *("-addext", f"subjectAltName={names}"),
            ]
        )
    return certificate, key


def _await_listening(server: Coturn, addresses: Sequence[str]) -> None:
    wanted = {(ipaddress.ip_address(address).version, table) for address in addresses for table in ("udp", "tcp")}
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.program.poll() is None:
        if all(_listens(server.program.pid, version, table) for version, table in wanted):
            return
        time.sleep(0.02)
    raise LaboratoryError(f"coturn does not listen:\n{server.log_text()[-2000:]}")


def _listens(pid: int, version: int, table: str) -> bool:
    """Whether some socket of the process's namespace is open on both ports."""
    path = Path(f"/proc/{pid}/net/{table}{'6' if version == 6 else ''}")
    try:
        rows = [line.split() for line in path.read_text().splitlines()[1:]]
    except OSError:
        return False
    state = "0A" if table == "tcp" else "07"
    ports = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == state}
    return {PORT, WEB_PORT} <= ports


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address

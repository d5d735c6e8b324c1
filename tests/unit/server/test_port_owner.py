"""Who has a port, read from a /proc of the test's own."""

from __future__ import annotations

from pathlib import Path

from icepath.server.port_owner import port_owner

HEAD = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n"
)
ROW = "  %d: %s 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 %d 2 0000000000000000 0\n"


def fake(proc: Path) -> Path:
    (proc / "net").mkdir(parents=True)
    (proc / "net/udp").write_text(HEAD + ROW % (1, "0100007F:0D96", 111) + "short line\n")
    (proc / "net/udp6").write_text(HEAD + ROW % (2, "00000000000000000000000000000000:1F90", 222))
    for pid, inode, name in ((12, 111, "turnserver"), (3, 999, "other"), (40, 222, "")):
        (proc / str(pid) / "fd").mkdir(parents=True)
        (proc / str(pid) / "comm").write_text(f"{name}\n")
        (proc / str(pid) / "fd/5").symlink_to(f"socket:[{inode}]")
    (proc / "7").mkdir()
    (proc / "self").mkdir()
    return proc


def test_the_process_is_named(tmp_path: Path) -> None:
    assert str(port_owner(3478, fake(tmp_path / "proc"))) == "turnserver (pid 12)"


def test_ipv6_and_a_process_without_a_name(tmp_path: Path) -> None:
    assert str(port_owner(8080, fake(tmp_path / "proc"))) == "? (pid 40)"


def test_nobody_or_nobody_who_can_be_seen(tmp_path: Path) -> None:
    proc = fake(tmp_path / "proc")
    assert port_owner(1, proc) is None
    (proc / "12/fd/5").unlink()
    assert port_owner(3478, proc) is None
    assert port_owner(3478, tmp_path / "elsewhere") is None

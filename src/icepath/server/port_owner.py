"""Who has a port, as far as Linux's /proc tells: the name and pid in the message that a port is taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
# /proc/net/udp: the local address is the second field, the inode of the socket the tenth.
LOCAL_FIELD: Final = 1
INODE_FIELD: Final = 9


@dataclass(frozen=True, slots=True)
class Owner:
    """Is a process that has a socket."""

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def port_owner(port: int, proc: Path = PROC) -> Owner | None:
    """Returns a process that has the UDP port; None when /proc does not tell."""
    inodes = _inodes(port, proc)
    if not inodes:
        return None
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if _holds(process, links):
            return Owner(_read(process / "comm").strip() or "?", int(process.name))
    return None


def _inodes(port: int, proc: Path) -> set[str]:
    found: set[str] = set()
    for table in ("net/udp", "net/udp6"):
        for line in _read(proc / table).splitlines()[1:]:
            fields = line.split()
            if len(fields) > INODE_FIELD and int(fields[LOCAL_FIELD].rpartition(":")[2], 16) == port:
                found.add(fields[INODE_FIELD])
    return found


def _holds(process: Path, links: set[str]) -> bool:
    try:
        return any(str(descriptor.readlink()) in links for descriptor in (process / "fd").iterdir())
    except OSError:
        return False  # another user's process, or one that has just ended


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

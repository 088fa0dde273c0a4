"""What the kernel says of processes: enough to tell one from every other that ever had its number."""

from pathlib import Path

PROC = Path("/proc")
SESSION, START_TIME = 3, 19  # fields 6 and 22 of /proc/<pid>/stat, counted after the name (proc_pid_stat(5))


def boot_id() -> str:
    """Names this boot of this machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def started(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is none, or a dead one."""
    return _field(pid, START_TIME)


def session(pid: int) -> int | None:
    """The session that the process belongs to; None if there is no such process, or a dead one."""
    return _field(pid, SESSION)


def _field(pid: int, index: int) -> int | None:
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[index])

"""Processes that are started here and ended here, and what they take."""

import os
import pathlib
import signal
import socket
import subprocess
import time


class Process:
    """A server with whatever it starts itself, on the cores that it is given."""

    def __init__(self, command, cores, log):
        self.log = pathlib.Path(log)
        with open(log, "wb") as output:
            pinned = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
            self.process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def listens(self, ports, patience=20):
        """Waits until it does; false where it never does."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                for port in ports:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def end(self):
        """Ends it and what it has started."""
        tree = self.tree()
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            for pid in tree:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()

    def tree(self):
        """The process and all that descend from it."""
        children = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                # The name of the program, in parentheses, may hold anything.
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(stat.parent.name))
        tree = [self.process.pid]
        for pid in tree:
            tree += children.get(pid, [])
        return tree

    def cpu_seconds(self):
        """User and system time, of all together. In nanoseconds where the kernel tells them, else in its ticks."""
        return sum(_cpu_seconds(pathlib.Path(f"/proc/{pid}")) for pid in self.tree())

    def forget_peak(self):
        """Begins a new peak of resident memory."""
        for pid in self.tree():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_bytes(self):
        """The greatest resident memory, added up; what processes share counts for each."""
        return sum(_peak_bytes(pid) for pid in self.tree())


def _cpu_seconds(process):
    schedstats = list(process.glob("task/*/schedstat"))
    if schedstats:
        return sum(int(schedstat.read_text().split()[0]) for schedstat in schedstats) / 1e9
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def free_ports(number):
    """Ports where nobody listens: all of them at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports

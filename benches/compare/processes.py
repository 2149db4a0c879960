"""Server processes, with their CPU time and memory."""

import os
import pathlib
import signal
import socket
import subprocess
import time


class Process:
    """A server and its descendants, pinned to cores."""

    def __init__(self, command, cores, log):
        self.log = pathlib.Path(log)
        with open(log, "wb") as output:
            pinned = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
            self.process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def listens(self, ports, timeout=20):
        """Waits until every port accepts connections; false after the timeout."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                for port in ports:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def end(self):
        """Stops the process and its descendants."""
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
        """The process and its descendants."""
        children = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                # The program name in parentheses may contain any character.
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(stat.parent.name))
        tree = [self.process.pid]
        for pid in tree:
            tree += children.get(pid, [])
        return tree

    def cpu_seconds(self):
        """User and system time of the tree; with the precision of schedstat if the kernel has it, else of clock ticks."""
        return sum(_cpu_seconds(pathlib.Path(f"/proc/{pid}")) for pid in self.tree())

    def user_and_system_seconds(self):
        """User time, and system time, of the tree, with the precision of clock ticks."""
        ticks = [_ticks(pathlib.Path(f"/proc/{pid}")) for pid in self.tree()]
        return [sum(column) / os.sysconf("SC_CLK_TCK") for column in zip(*ticks)]

    def forget_peak(self):
        """Resets the peak of resident memory."""
        for pid in self.tree():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_bytes(self):
        """The sum of the peaks; memory shared by processes counts for each."""
        return sum(_peak_bytes(pid) for pid in self.tree())


def _cpu_seconds(process):
    schedstats = list(process.glob("task/*/schedstat"))
    if schedstats:
        return sum(int(schedstat.read_text().split()[0]) for schedstat in schedstats) / 1e9
    return sum(_ticks(process)) / os.sysconf("SC_CLK_TCK")


def _ticks(process):
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def _peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def free_ports(number):
    """Free ports. All are bound at the same time, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def make_certificate(key, certificate):
    """Writes a key and a self-signed certificate for localhost."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=60)

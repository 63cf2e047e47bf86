"""A started program: what it costs in processor time and memory, and its end.

Processor time is exact once it has ended: the kernel's account of it and of all children it waited
for. Before that it is read from /proc, to a clock tick. Memory is sampled, so a peak between two
samples is missed.
"""

import ctypes
import os
import re
import select
import signal
import subprocess
import time
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# How long a program may take to end after SIGTERM; transfers are compared only after that.
END_S = 15.0
# Between two looks at the memory of a program that is waited for.
SAMPLE_MS = 20
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Cpu(NamedTuple):
    """Seconds of processor time."""

    user: float = 0.0
    system: float = 0.0

    def plus(self, other):
        return Cpu(self.user + other.user, self.system + other.system)

    def minus(self, other):
        return Cpu(max(0.0, self.user - other.user), max(0.0, self.system - other.system))


def cpu_of_stat(text):
    """Cpu of a line of /proc/PID/stat, children that were waited for included."""
    # The name stands in parentheses and may hold any byte, so fields count from the last one.
    fields = text.rpartition(")")[2].split()
    user, system, children_user, children_system = (int(field) for field in fields[11:15])
    return Cpu((user + children_user) / TICKS_PER_S, (system + children_system) / TICKS_PER_S)


def memory_of_status(text):
    """Anonymous and file-mapped bytes of /proc/PID/status; a program that is ending has none."""
    found = dict(re.findall(r"^(RssAnon|RssFile|RssShmem):\s+(\d+) kB$", text, re.MULTILINE))
    kib = {key: int(value) for key, value in found.items()}
    mapped = kib.get("RssFile", 0) + kib.get("RssShmem", 0)
    return kib.get("RssAnon", 0) * 1024, mapped * 1024


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def tree(pid):
    """The process and all that it started and that still live."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except FileNotFoundError:
            continue
        for thread in threads:
            children = _read(f"/proc/{pid}/task/{thread}/children").split()
            waiting.extend(int(child) for child in children)
    return found


def die_with_parent():
    """Makes this process end when the one that started it does, however that ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program in a session of its own that dies with us; its words go to a file."""

    def __init__(self, argv, cwd, log):
        self.log_path = log
        self.anonymous = self.mapped = 0
        self._whole_life = self._ended = None
        self._asked = False
        self.began = time.monotonic()
        environment = dict(os.environ, HOME=str(cwd), PYTHONDONTWRITEBYTECODE="1")
        with open(log, "wb") as output:
            self._popen = subprocess.Popen(
                [str(argument) for argument in argv], cwd=cwd, env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=die_with_parent)

    def said(self):
        """All it wrote so far."""
        return _read(self.log_path)

    def last_words(self):
        """The last line it wrote, for messages."""
        lines = self.said().strip().splitlines()
        return lines[-1][-200:] if lines else "it said nothing"

    def exit_code(self):
        """None while it runs; negative for the signal that ended it."""
        if self._whole_life is None:
            try:
                pid, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
            except ChildProcessError:
                # An interrupt came between the system's answer and our note of it.
                self._whole_life, self._ended = Cpu(), time.monotonic()
                self._popen.returncode = -signal.SIGKILL
                return self._popen.returncode
            if pid:
                self._whole_life = Cpu(usage.ru_utime, usage.ru_stime)
                self._ended = time.monotonic()
                self._popen.returncode = os.waitstatus_to_exitcode(status)
        return self._popen.returncode

    def wait(self, seconds):
        """Its exit code, or None when it still runs after that time."""
        until_then = time.monotonic() + seconds
        end = select.poll()
        if self.exit_code() is None:
            handle = os.pidfd_open(self._popen.pid)
            try:
                end.register(handle, select.POLLIN)
                while not end.poll(SAMPLE_MS) and time.monotonic() < until_then:
                    self.sample()
            finally:
                os.close(handle)
        return self.exit_code()

    def lifetime_s(self):
        """Seconds from its start to its end, or to now."""
        self.exit_code()
        return (self._ended or time.monotonic()) - self.began

    def sample(self):
        """Looks at its memory."""
        if self.exit_code() is None:
            sums = [memory_of_status(_read(f"/proc/{pid}/status")) for pid in tree(self._popen.pid)]
            self.anonymous = max(self.anonymous, sum(anonymous for anonymous, _ in sums))
            self.mapped = max(self.mapped, sum(mapped for _, mapped in sums))

    def cpu(self):
        """Of its whole life when it has ended, so far otherwise."""
        if self.exit_code() is not None:
            return self._whole_life
        total = Cpu()
        for pid in tree(self._popen.pid):
            stat = _read(f"/proc/{pid}/stat")
            total = total.plus(cpu_of_stat(stat)) if stat else total
        return total

    def ask_to_end(self):
        """Does not wait for it: so that many end together."""
        self._signal(signal.SIGTERM)

    def stop(self):
        """Asks it to end, unless it was asked, then makes it; gives the Cpu of its whole life."""
        if not self._asked:
            self.ask_to_end()
        self.wait(END_S)
        self._signal(signal.SIGKILL)
        self.wait(END_S)
        return self.cpu()

    def _signal(self, how):
        if self.exit_code() is None:
            self._asked = True
            # The group is its own: it leads a session. It is not yet reaped, so the id is too.
            os.killpg(self._popen.pid, how)


def until(condition, seconds, processes=(), every=0.02):
    """Whether the condition came true in time; the processes' memory is sampled meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        for process in processes:
            process.sample()
        time.sleep(every)
    return True

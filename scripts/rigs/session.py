"""Runs one emulator: its serial line to and from the user, its time limit, its end."""

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
import tty

from .common import RigError

ESCAPE = 0x01  # Ctrl-A, as in QEMU and screen
TAIL_BYTES = 8192  # how far back --until and the panic search look
PANIC_GRACE = 3.0  # seconds for the dump that follows a panic's first line
PR_SET_PDEATHSIG = 1

# A guest's own text comes with its name in front and is not the host's panic.
PANIC = re.compile(r"^(?!(?:[^\n]*\x1b\[K)?\([^)\n]*\) ).*trivet: panic:", re.M)


# How OVMF clears the screen; nothing else pads its numbers like this.
FIRMWARE_CLEARS = (b"\x1b[2J\x1b[01;01H", b"\x1b[=3h")


class ScreenKeeper:
    """Takes the firmware's clearing out of the output, so that a user's screen stays."""

    def __init__(self):
        self.held = b""  # what may be the start of such a sequence

    def filter(self, data):
        data = self.held + data
        for sequence in FIRMWARE_CLEARS:
            data = data.replace(sequence, b"")
        keep = max(n for s in FIRMWARE_CLEARS for n in range(len(s)) if data.endswith(s[:n]))
        self.held = data[len(data) - keep:]
        return data[:len(data) - keep]


class Stopped(Exception):
    """A signal or the escape key ended the session."""


class Session:
    """One emulator process and the bytes of its serial line."""

    def __init__(self, rig, until, timeout, output_fd, input_fd, escape, keeper=None):
        self.rig = rig
        self.until = re.compile(until, re.M) if until else None
        self.timeout = timeout
        self.output_fd = output_fd
        self.input_fd = input_fd  # -1: the machine gets no input
        self.escape = escape
        self.keeper = keeper
        self.escaped = False
        self.pending = bytearray()
        self.next_input = 0.0
        self.tail = ""
        self.until_seen = False
        self.panic_at = None
        self.panic_grace = PANIC_GRACE
        self.serial = -1
        self.process = None

    def run(self, screenshot=None):
        """Runs to the end; gives (exit status, why)."""
        try:
            self._start()
            return self._loop(screenshot)
        finally:
            self._kill()

    # -- start and end of the process ---------------------------------------

    def _start(self):
        self.serial = self.rig.open_serial()
        os.set_blocking(self.serial, False)
        stdio = self.rig.child_stdio()
        with open(self.rig.log.with_suffix(".out") if stdio is None else self.rig.log, "wb") as log:
            self.process = subprocess.Popen(
                self.rig.command(),
                stdin=subprocess.DEVNULL if stdio is None else stdio,
                stdout=log if stdio is None else stdio,
                stderr=log,
                env={**os.environ, **self.rig.environment()},
                cwd=self.rig.work_dir,
                start_new_session=True,  # the terminal's Ctrl-C is for the guest
                preexec_fn=_die_with_parent,
            )
        self.rig.started()
        self.child = os.pidfd_open(self.process.pid)

    def _kill(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.rig.stop()
        os.close(self.child)
        os.close(self.serial)
        self.process = None

    # -- the loop -----------------------------------------------------------

    def _loop(self, screenshot):
        deadline = time.monotonic() + self.timeout if self.timeout else None
        while True:
            ready = self._wait(deadline)
            if self.input_fd in ready:
                self._read_input()
            self._send_input()
            if self.serial in ready or self.child in ready:
                self._read_serial()
            verdict = self._verdict(deadline, self.child in ready)
            if verdict:
                if screenshot and self.process.poll() is None:
                    self.rig.screenshot(screenshot)
                return verdict

    def _wait(self, deadline):
        now = time.monotonic()
        limits = [t - now for t in (deadline, self.panic_at) if t is not None]
        if self.pending:
            limits.append(self.next_input - now)
        readers = [self.serial, self.child]
        # Reading no further while bytes wait keeps a pipe's writer waiting.
        if self.input_fd >= 0 and len(self.pending) < 4096:
            readers.append(self.input_fd)
        limit = max(0.0, min(limits)) if limits else None
        return select.select(readers, [], [], limit)[0]

    def _verdict(self, deadline, ended):
        now = time.monotonic()
        if self.until_seen:
            return 0, f"seen: {self.until.pattern}"
        if ended:
            return self._explain_end()
        if self.panic_at is not None and now >= self.panic_at:
            return 1, "Trivet panicked"
        if deadline is not None and now >= deadline:
            wanted = f"without {self.until.pattern!r}" if self.until else "and the machine still runs"
            return 1, f"timeout: {self.timeout:g} s {wanted}"
        return None

    def _explain_end(self):
        status = self.process.wait()
        if self.panic_at is not None:
            return 1, "Trivet panicked"
        ending = self.rig.ending(status)
        return (0 if ending.powered_off else 1), ending.what

    # -- bytes --------------------------------------------------------------

    def _read_serial(self):
        while True:
            try:
                data = os.read(self.serial, 65536)
            except (BlockingIOError, OSError):
                return
            if not data:
                return
            _write_all(self.output_fd, self.keeper.filter(data) if self.keeper else data)
            self._search(data)

    def _search(self, data):
        text = self.tail + data.decode("utf-8", "replace").replace("\r", "")
        if self.until and self.until.search(text):
            self.until_seen = True
        if self.panic_at is None and PANIC.search(text):
            self.panic_at = time.monotonic() + self.panic_grace
        self.tail = text[-TAIL_BYTES:]

    def _read_input(self):
        data = os.read(self.input_fd, 1024)
        if not data:
            self.input_fd = -1  # end of the pipe; the machine runs on
        for byte in data:
            self._take_key(byte)

    def _take_key(self, byte):
        if not self.escape:
            self.pending.append(byte)
        elif self.escaped:
            self.escaped = False
            if byte in b"xX":
                raise Stopped("left with Ctrl-A x")
            if byte != ESCAPE:
                self.pending.append(ESCAPE)
            self.pending.append(byte)
        elif byte == ESCAPE:
            self.escaped = True
        else:
            self.pending.append(byte)

    def _send_input(self):
        now = time.monotonic()
        if not self.pending or now < self.next_input:
            return
        count = 1 if self.rig.input_pause else len(self.pending)
        try:
            sent = os.write(self.serial, self.pending[:count])
        except BlockingIOError:
            sent = 0
        except OSError:  # the machine has just ended; the loop will see it
            self.pending.clear()
            return
        del self.pending[:sent]
        self.next_input = now + (self.rig.input_pause if sent else 0.02)


class RawTerminal:
    """Sets a terminal raw, so that Ctrl-C and Ctrl-] reach the guest, and back."""

    def __init__(self, fd):
        self.fd = fd

    def __enter__(self):
        self.saved = termios.tcgetattr(self.fd)
        tty.setraw(self.fd)
        return self

    def __exit__(self, *_):
        termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)


def stop_on_signals():
    def handler(number, _frame):
        raise Stopped(f"stopped by {signal.Signals(number).name}")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _die_with_parent():
    # Even a killed scripts/emu leaves no emulator behind.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        os._exit(126)


def _write_all(fd, data):
    while data:
        try:
            data = data[os.write(fd, data):]
        except BlockingIOError:
            select.select([], [fd], [])
        except BrokenPipeError:
            raise RigError("nobody reads our output any more") from None


def say(text):
    print(f"emu: {text}", file=sys.stderr, flush=True)

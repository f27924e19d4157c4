"""The few words of gdb's remote protocol that it takes to follow a function instruction by instruction in QEMU.

GDB manual, "GDB Remote Serial Protocol". Registers are those of x86-64, in gdb's order.
"""

import socket
import struct
import time

RSP = 7
RIP = 16
ARGUMENTS = (5, 4, 3, 2)  # RDI, RSI, RDX, RCX
REPLY_SECONDS = 120


class GdbStub:
    """A connection to the stub of one machine, which was started with -S and stands still until told to go on."""

    def __init__(self, path, seconds=60):
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.socket.settimeout(REPLY_SECONDS)
        self.text = b""
        self.breakpoints = set()
        self.ask("qSupported")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _byte(self):
        if not self.text:
            self.text = self.socket.recv(65536)
            if not self.text:
                raise OSError("the machine ended")
        byte, self.text = self.text[:1], self.text[1:]
        return byte

    def send(self, packet):
        data = packet.encode()
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xff))

    def reply(self):
        """The next packet, acknowledged."""
        while self._byte() != b"$":
            pass
        data = b""
        while (byte := self._byte()) != b"#":
            data += byte
        self._byte(), self._byte()
        self.socket.sendall(b"+")
        return data.decode()

    def ask(self, packet):
        self.send(packet)
        return self.reply()

    def registers(self):
        """RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15 and RIP."""
        return struct.unpack_from("<17Q", bytes.fromhex(self.ask("g")[:17 * 16]))

    def read_quadword(self, address):
        return struct.unpack("<Q", bytes.fromhex(self.ask(f"m{address:x},8")))[0]

    def breakpoint(self, address, on=True):
        if self.ask(f"{'Z' if on else 'z'}0,{address:x},1") != "OK":
            raise OSError(f"no breakpoint at {address:#x}")
        self.breakpoints ^= {address}

    def start(self):
        """Lets the machine run, until stop(): breakpoints that are set make it slow."""
        self.send("c")

    def stop(self):
        self.socket.sendall(b"\x03")
        self._expect_stop(self.reply(), "T02")

    def go_on(self):
        """Lets the machine run up to a breakpoint, and from one first over it; gives its registers there."""
        if self.registers()[RIP] in self.breakpoints:
            self._expect_stop(self.ask("s"), "T05")
        self._expect_stop(self.ask("c"), "T05")
        return self.registers()

    @staticmethod
    def _expect_stop(reply, expected):
        if not reply.startswith(expected):
            raise OSError(f"the machine stopped by {reply!r} instead of {expected!r}")

    def detach(self):
        """The machine goes on by itself."""
        self.send("D")

    def follow(self, registers):
        """Steps from a function's first instruction to its return; gives (RIP, RSP) of each instruction on the way."""
        back = self.read_quadword(registers[RSP])
        trace = [(registers[RIP], registers[RSP])]
        while True:
            self._expect_stop(self.ask("s"), "T05")
            now = self.registers()
            if now[RIP] == back and now[RSP] > registers[RSP]:
                return trace
            trace.append((now[RIP], now[RSP]))

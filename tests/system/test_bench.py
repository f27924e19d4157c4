"""What scripts/bench makes of machines' words: no figure may get lost on the way. Boots nothing."""

import socket
import struct
import sys
import threading
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from machine import SCRIPTS, TOP

sys.path.append(str(SCRIPTS))
from benchmarks import devices, figures  # noqa: E402
from benchmarks.gdb_stub import RIP, RSP, GdbStub  # noqa: E402


def load_bench():
    loader = SourceFileLoader("bench", str(SCRIPTS / "bench"))
    module = module_from_spec(spec_from_loader("bench", loader))
    sys.modules["bench"] = module
    loader.exec_module(module)
    return module


bench = load_bench()


def test_series_are_complete_or_an_error():
    text = "[1.0] (bench) bench a 10 12\n(bench) bench b 3 3\n"
    assert figures.series(text, ["a", "b"]) == {"a": (10, 12), "b": (3, 3)}
    for names, message in ((["a", "b", "c"], "did not tell: c"), (["a"], "not expected: b")):
        with pytest.raises(figures.Missing, match=message):
            figures.series(text, names)
    with pytest.raises(figures.Missing, match="not expected: a"):
        figures.series(text + "bench a 1 1\n", ["a", "b"])
    # A line that was cut off is no figure.
    with pytest.raises(figures.Missing, match="did not tell: b"):
        figures.series("bench a 10 12\nbench b 3\n", ["a", "b"])


def test_exits_are_all_counted():
    rows = "Reason  Count\n 32 WRMSR                    6051   12  300\n 10 CPUID                    758   1\n"
    told = bench.exits_by_reason(rows)
    assert [(figure.name, figure.value) for figure in told] == [("exits until then", 6809), ("of them: WRMSR", 6051),
                                                                ("of them: CPUID", 758)]
    for text in ("", rows + " 48 EPT violation\n"):
        with pytest.raises(figures.Missing):
            bench.exits_by_reason(text)


def test_memory_of_the_report():
    assert bench.held("hypervisor   12 KiB\nlog and exits: 1 MiB\n", "hypervisor") == 13
    assert bench.held("hypervisor   12 KiB\nlog and exits: 1 MiB\n", "log and exits") == 2048
    with pytest.raises(figures.Missing, match="page tables"):
        bench.held("hypervisor 12 KiB\n", "page tables")


def test_moments_are_behind_whole_milliseconds():
    text = "".join(f"(bench) moment interrupt-halted {2_000_000 * i + 500 + 3000}\n" for i in range(devices.HALTS))
    assert devices.late(text, 500) == [3000] * devices.HALTS
    with pytest.raises(figures.Missing, match="19 of 20"):
        devices.late(text.split("\n", 1)[1], 500)


def test_part_of_a_trace():
    trace = [(100, 64), (104, 64), (200, 56), (204, 48), (108, 64), (200, 56), (112, 64)]
    assert devices.inside(trace, 200) == 3
    assert devices.inside(trace, 300) == 0


def test_one_part_is_measured_again(tmp_path):
    path = tmp_path / "benchmarks.md"
    first, second = bench.PARTS[0], bench.PARTS[1]
    bench.write(path, [(first, [figures.Figure("one", 1)]), (second, [figures.Figure("two", 2, 1)])])
    bench.write(path, [(first, [figures.Figure("three", 3)])])
    text = path.read_text()
    assert "| three | 3 |" in text and "| one |" not in text
    assert "| two | 2 | 1 | instructions | **missed** |" in text
    assert text.index(f"## {first.title}") < text.index(f"## {second.title}")


def test_what_is_written_has_every_figure():
    """docs/benchmarks.md is of this program, not of an older one."""
    text = (TOP / "docs/benchmarks.md").read_text()
    names = [words for _, words, _ in bench.TRIPS] + [words for _, _, rows in bench.VCPU_FIGURES for _, words, *_ in rows]
    names += [words for _, words, *_ in devices.SEEN] + [devices.HALTED[0]] + [words for *_, words, _ in devices.CALLS]
    assert [name for name in names if f"| {name} |" not in text] == []
    assert [part.title for part in bench.PARTS if f"## {part.title}\n" not in text] == []


def test_a_missing_rig_is_told_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bench, "TOP", tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/emu").write_text("#!/bin/sh\necho 'emu: QEMU is not installed' >&2\nexit 2\n")
    (tmp_path / "scripts/emu").chmod(0o755)
    with pytest.raises(figures.Missing, match="rig qemu is missing.*QEMU is not installed"):
        bench.check_rigs([part for part in bench.PARTS if part.rigs == ("qemu",)])


class FakeStub(threading.Thread):
    """A machine that stops in a function of four instructions, one of which calls another."""

    STEPS = [(0x1000, 0x100), (0x1004, 0x100), (0x2000, 0xf8), (0x1009, 0x100), (0x5000, 0x108)]

    def __init__(self, path):
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.at = -1

    def answer(self, packet):
        if packet in ("c", "s"):
            self.at += 1
            return "T05thread:01;"
        if packet == "g":
            registers = [0] * 17
            registers[RIP], registers[RSP] = self.STEPS[self.at]
            return struct.pack("<17Q", *registers).hex() + "00" * 300
        if packet.startswith("m"):
            return struct.pack("<Q", 0x5000).hex()
        return "OK"

    def run(self):
        peer, _ = self.server.accept()
        text = b""
        while data := peer.recv(4096):
            text += data
            while b"#" in text[:-2]:
                packet, text = text.split(b"#", 1)
                text = text[2:]
                answer = self.answer(packet.split(b"$", 1)[1].decode()).encode()
                peer.sendall(b"+$" + answer + b"#%02x" % (sum(answer) & 0xff))


def test_a_function_is_followed_to_its_return(tmp_path):
    FakeStub(tmp_path / "gdb").start()
    with GdbStub(tmp_path / "gdb") as stub:
        stub.breakpoint(0x1000)
        trace = stub.follow(stub.go_on())
    assert trace == FakeStub.STEPS[:4]
    assert devices.inside(trace, 0x2000) == 1

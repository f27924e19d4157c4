"""Passed-through devices, on QEMU, which has an IOMMU and counts instructions when it is asked to."""

import re
import subprocess
from bisect import bisect_right
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from machine import BUILD, HOST_SECTION, Machine, guest_files, make_medium, plain, vm_section

from .figures import Figure, Missing, find, series
from .gdb_stub import ARGUMENTS, RIP, RSP, GdbStub

GUEST = "bench_devices"
EDU = "0000:00:02.0"
TESTDEV = "0000:00:06.0"
KIB = 1024
# The clock of the machine and the TSC advance by a nanosecond an instruction, and over what a halted CPU waits for at once.
COUNTED = ("--extra", "-icount shift=0,sleep=off")
DEVICES = ("--extra", "-device pci-testdev,membar=2M,addr=06.0")
MILLISECOND = 1_000_000  # TSC ticks
HALTS = 20

DEVICES_TEXT = (
    "On QEMU (`scripts/emu --rig qemu`), which has no VMX but SVM and a VT-d unit, with its `edu` and `pci-testdev` in a VM. First what "
    "tests/guests/bench_devices.c sees, with `-icount shift=0,sleep=off`: the machine's clock and the TSC advance by one an instruction; "
    "the least of 20 to 40 rounds, and the mean; memory decoding is switched by a write of the command register. Then the calls of the hypervisor that change the VM's IOMMU domain, followed "
    "instruction by instruction by QEMU's gdb stub; QEMU's unit "
    "carries out an invalidation within the write that asks for it, so nothing is waited for.")

# What the guest prints, in words, and its limit.
SEEN = [
    ("interrupt-computing", "interrupt of a device to its handler, while the vCPU computes", 1000,
     "from the guest's write that makes the device interrupt, by MSI through a remapping entry and a vector of the host"),
    ("command-on", "memory decoding on, registers out of every window", None, ""),
    ("command-off", "memory decoding off, registers out of every window", None, ""),
    ("map-4k", "memory decoding on, registers of 4 KiB", 4000, "mapped for the vCPUs and for devices, both or neither"),
    ("unmap-4k", "memory decoding off, registers of 4 KiB", 3900, ""),
    ("map-2m", "memory decoding on, registers of 2 MiB", 3500, ""),
    ("unmap-2m", "memory decoding off, registers of 2 MiB", 3500, ""),
    ("map-1m", "memory decoding on, registers of 1 MiB", 85_000, "256 pages"),
    ("unmap-1m", "memory decoding off, registers of 1 MiB", 76_000, ""),
]
HALTED = ("interrupt of a device to its handler, while the vCPU halts", 1800,
          "from the device's own clock: the end of a transfer")

# Calls of the hypervisor's functions: how many bytes, which argument says so, and the limit.
CALLS = [
    ("iommu_domain_map", 4 * KIB, 3, "map of 4 KiB in the VM's domain", 1300),
    ("iommu_domain_unmap", 4 * KIB, 2, "unmap of 4 KiB in the VM's domain", 1400),
    ("iommu_domain_map", 2048 * KIB, 3, "map of 2 MiB in the VM's domain", 1080),
    ("iommu_domain_unmap", 2048 * KIB, 2, "unmap of 2 MiB in the VM's domain", 1200),
]
INVALIDATION = "vtd_invalidate_range"
FIRST_REGISTERS = 0xc0000000  # below lies the guest's RAM, which is mapped before it runs
REPEATS = 3
TABLE = 100  # instructions that making one takes at least


def medium(work, autostart):
    section = vm_section("bench", GUEST, memory="16M", pci=f"{EDU},permissive\npci = {TESTDEV},permissive", on_poweroff="preserve",
                         autostart=autostart)
    return make_medium(work / f"devices-{autostart}", HOST_SECTION + section, guest_files(GUEST))


def run_guest(machine):
    """Gives what it printed, and by how much its TSC is ahead of the machine's."""
    if machine.wait_stopped("bench", 300) != "exit 1" or f"(bench) PASS {GUEST}" not in machine.lines():
        raise Missing(f"{GUEST} failed:\n{machine.tail()}")
    return plain(machine.text), int(find(r"TSC offset (-?\d+)", machine.command("vmcs bench"), "the guest's TSC")[1])


def late(text, offset):
    """The handler's delays behind whole milliseconds of the machine's clock."""
    moments = [int(moment) for moment in re.findall(r"\bmoment interrupt-halted (\d+)$", text, re.M)]
    if len(moments) != HALTS:
        raise Missing(f"the guest told {len(moments)} of {HALTS} moments\n{text[-3000:]}")
    return [(moment - offset) % MILLISECOND for moment in moments]


def seen_by_guest(work):
    with Machine(medium(work, "yes"), *DEVICES, *COUNTED, rig="qemu") as machine:
        machine.wait_up(300)
        text, offset = run_guest(machine)
    told = series(text, [name for name, *_ in SEEN])
    figures = [Figure(words, told[name][0], limit, note="; ".join(filter(None, (how, f"mean {told[name][1]:,}"))))
               for name, words, limit, how in SEEN]
    delays = late(text, offset)
    words, limit, how = HALTED
    figures.insert(1, Figure(words, min(delays), limit, note=f"{how}; mean {round(sum(delays) / len(delays)):,}"))
    return figures


# ---- the hypervisor's own calls, instruction by instruction ----


class Symbols:
    """Functions of the hypervisor, by name and by address."""

    def __init__(self, elf=BUILD / "trivet.debug.elf"):
        listing = subprocess.run(["nm", elf], check=True, capture_output=True, text=True).stdout
        rows = sorted((int(address, 16), name) for address, kind, name in (line.split() for line in listing.splitlines())
                      if kind in "tT")
        self.addresses = [address for address, _ in rows]
        self.names = [name for _, name in rows]

    def address(self, name):
        if name not in self.names:
            raise Missing(f"the hypervisor has no function {name}")
        return self.addresses[self.names.index(name)]

    def name(self, address):
        return self.names[bisect_right(self.addresses, address) - 1]


def inside(trace, start):
    """Instructions of the calls of one function, with all that it calls."""
    count, depth = 0, None
    for rip, rsp in trace:
        if depth is None and rip == start:
            depth = rsp
        elif depth is not None and rsp > depth:
            depth = None
        count += depth is not None
    return count


def follow_calls(stub, symbols):
    """{(function, bytes): traces}, until there are enough of all."""
    wanted = {(symbols.address(name), size): (name, size) for name, size, *_ in CALLS}
    argument = {symbols.address(name): ARGUMENTS[number] for name, _, number, *_ in CALLS}
    traces = {(name, size): [] for name, size, *_ in CALLS}
    for address in argument:
        stub.breakpoint(address)
    while any(len(found) < REPEATS for found in traces.values()):
        registers = stub.go_on()
        key = wanted.get((registers[RIP], registers[argument[registers[RIP]]]))
        if key in traces and len(traces[key]) < REPEATS and registers[ARGUMENTS[1]] >= FIRST_REGISTERS:
            traces[key].append(stub.follow(registers))
    for address in argument:
        stub.breakpoint(address, False)
    stub.detach()
    return traces


def profile(trace, symbols):
    """For people who want to make it shorter: where the instructions are."""
    return Counter(symbols.name(rip) for rip, _ in trace)


def traces_of_calls(work, symbols):
    socket = work / "gdb"
    options = (*DEVICES, "--extra", f"-S -gdb unix:{socket},server=on,wait=off")
    with Machine(medium(work, "no"), *options, rig="qemu") as machine, GdbStub(socket) as stub, ThreadPoolExecutor(1) as pool:
        stub.start()
        machine.wait_up()
        machine.send("create bench\r")
        machine.expect("vm bench: started")
        stub.stop()
        traces = pool.submit(follow_calls, stub, symbols)
        run_guest(machine)
        return traces.result()


def calls_of_hypervisor(work):
    symbols = Symbols()
    traces = traces_of_calls(work, symbols)
    figures = []
    for name, size, _, words, limit in CALLS:
        first, *others = traces[name, size]
        least = min(others, key=len)
        invalidated = inside(least, symbols.address(INVALIDATION))
        notes = [f"of them to have units forget it: {invalidated:,}"] if invalidated else []
        notes += [f"with tables on the way there to be made: {len(first):,}"] if len(first) > len(least) + TABLE else []
        figures.append(Figure(words, len(least), limit, note="; ".join(notes)))
    return figures


def devices(work):
    return seen_by_guest(work) + calls_of_hypervisor(work)

"""The host's PCI functions as `pci` tells them, against what QEMU's monitor says of the same machine."""

import re
import socket

import pytest
from machine import HOST_SECTION, Machine, make_medium

SHARED_SWITCH = ("-device pcie-root-port,id=rp2,chassis=2,slot=2 -device x3130-upstream,id=up,bus=rp2 "
                 "-device xio3130-downstream,id=d1,bus=up,chassis=3,slot=3 -device e1000e,bus=d1,romfile= "
                 "-device xio3130-downstream,id=d2,bus=up,chassis=4,slot=4 -device pcie-pci-bridge,id=pb,bus=d2 "
                 "-device e1000,bus=pb,addr=1,romfile=")
SRIOV_DISK = ("-device pcie-root-port,id=rp1,chassis=1,slot=1 -device nvme-subsys,id=sub0 "
              "-device nvme,serial=1,bus=rp1,subsys=sub0,sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4")
EDU_ALONE = "-device pcie-root-port,id=rp3,chassis=5,slot=5 -device edu,bus=rp3"
TREE_ROW = re.compile(r"( *)0000:(..:..\..) +([0-9a-f]{4}:[0-9a-f]{4}) +(\d+) (\S+) +(.*)")
UNASSIGNED = 0xffffffffffffffff


class Monitor:
    """QEMU's human monitor on a socket of its own."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.read()

    def read(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            part = self.socket.recv(65536)
            assert part, "QEMU closed its monitor"
            text += part
        return text.decode()

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\n")
        return self.read()

    def functions(self):
        """{"BB:DD.F": {number of BAR: (address, size)}}, of those that have an address; and the ids."""
        bars, ids = {}, {}
        for line in self.ask("info pci").splitlines():
            if match := re.search(r"Bus +(\d+), device +(\d+), function (\d):", line):
                name = f"{int(match[1]):02x}:{int(match[2]):02x}.{match[3]}"
                bars[name] = {}
            elif match := re.search(r"PCI device ([0-9a-f]{4}:[0-9a-f]{4})", line):
                ids[name] = match[1]
            elif match := re.search(r"BAR(\d): .* at 0x([0-9a-f]+) \[0x([0-9a-f]+)\]", line):
                if int(match[2], 16) != UNASSIGNED:
                    bars[name][int(match[1])] = int(match[2], 16), int(match[3], 16) - int(match[2], 16) + 1
        return bars, ids


class Tree:
    """What `pci` prints."""

    def __init__(self, text):
        self.rows = {}
        self.parents = {}
        above = []
        for match in filter(None, map(TREE_ROW.fullmatch, text.splitlines())):
            indent, name, ids, group, owner, what = match.groups()
            self.rows[name] = {"ids": ids, "group": int(group), "owner": owner, "what": what}
            self.parents[name] = above[len(indent) - 1] if indent else None
            above[len(indent):] = [name]

    def find(self, what):
        return [name for name, row in self.rows.items() if what in row["what"]]


UNITS = {"bytes": 1, "KiB": 1024, "MiB": 1 << 20}


def bars_of(machine, name):
    text = machine.command(f"pci 0000:{name}")
    return {int(number): (int(address, 16), int(size) * UNITS[unit]) for number, address, size, unit in
            re.findall(r"BAR (\d): .* at 0x([0-9a-f]+), (\d+) (bytes|KiB|MiB)$", text, re.M) if int(address, 16)}


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pci")
    image = make_medium(folder, HOST_SECTION + "console = fb\n", force=True)
    extra = f"-monitor unix:{folder}/monitor,server=on,wait=off {SRIOV_DISK} {SHARED_SWITCH} {EDU_ALONE} -device e1000e,romfile="
    with Machine(image, "--extra", extra, rig="qemu") as machine:
        machine.wait_up()
        yield machine, Monitor(folder / "monitor")


def test_functions_and_sizes(host):
    machine, monitor = host
    bars, ids = monitor.functions()
    tree = Tree(machine.command("pci"))
    assert {name: row["ids"] for name, row in tree.rows.items()} == ids
    for name, expected in bars.items():
        # 6 is the ROM; a host bridge is not sized.
        expected = {number: bar for number, bar in expected.items() if number < 6}
        assert bars_of(machine, name) == expected, name


def test_owners_and_groups(host):
    machine, _ = host
    tree = Tree(machine.command("pci"))
    for what in "host bridge", "ISA bridge", "SMBus", "VGA display", "PCI bridge":
        assert tree.find(what)
        assert {tree.rows[name]["owner"] for name in tree.find(what)} == {"hypervisor"}
    for what in "NVMe", "Ethernet", "SATA", "older than class codes":
        assert {tree.rows[name]["owner"] for name in tree.find(what)} == {"quarantine"}
    group = {name: row["group"] for name, row in tree.rows.items()}
    alone = [name for name in tree.find("Ethernet") if tree.parents[name] is None]
    behind = [name for name in tree.find("Ethernet") if tree.parents[name] is not None]
    assert len(alone) == 1 and len(behind) == 2
    # QEMU's TI switch has no ACS, its root ports have.
    assert group[behind[0]] == group[behind[1]] != group[tree.parents[tree.find("NVMe")[0]]]
    assert [name for name in group if group[name] == group[alone[0]]] == alone
    disk, = tree.find("NVMe")
    assert group[disk] != group[tree.parents[disk]]
    assert group["00:1f.2"] == group["00:1f.0"] == group["00:1f.3"]


def test_resets(host):
    machine, monitor = host
    tree = Tree(machine.command("pci"))
    before = monitor.functions()
    ways = {"NVMe": "FLR", "Ethernet": "power state", "older than class codes": "secondary bus reset"}
    for what, way in ways.items():
        names = [name for name in tree.find(what) if f"reset: {way}" in machine.command(f"pci 0000:{name}")]
        assert names, f"{what}: {way}"
        assert f"reset by {way}\n" in machine.command(f"pci 0000:{names[0]} reset")
    assert monitor.functions() == before
    assert "no reset: not found" in machine.command("pci 0000:00:1f.2 reset")
    assert "belongs to hypervisor" in machine.command("pci 0000:00:1f.0 reset")


def test_virtual_functions(host):
    machine, monitor = host
    disk, = Tree(machine.command("pci")).find("NVMe")
    assert "it has fewer virtual functions" in machine.command(f"pci 0000:{disk} vfs 5")
    assert "2 virtual functions enabled" in machine.command(f"pci 0000:{disk} vfs 2")
    tree = Tree(machine.command("pci"))
    virtual = [name for name, parent in tree.parents.items() if parent == disk]
    assert len(virtual) == 2
    assert len({tree.rows[name]["group"] for name in [disk, *virtual]}) == 3
    assert {tree.rows[name]["owner"] for name in virtual} == {"quarantine"}
    bars, _ = monitor.functions()
    for name in virtual:
        assert bars_of(machine, name) == bars[name] != {}
        assert "reset by FLR\n" in machine.command(f"pci 0000:{name} reset")
    assert "2 of 4 virtual functions enabled" in machine.command(f"pci 0000:{disk}")
    assert "enabled already" in machine.command(f"pci 0000:{disk} vfs 1")
    assert "reset: FLR" in machine.command(f"pci 0000:{disk}")
    # Nobody has any of them: they are back after their physical function was reset.
    assert "reset by FLR\n" in machine.command(f"pci 0000:{disk} reset")
    assert "2 of 4 virtual functions enabled" in machine.command(f"pci 0000:{disk}")
    bars, _ = monitor.functions()
    for name in virtual:
        assert bars_of(machine, name) == bars[name] != {}
    assert "its virtual functions are gone" in machine.command(f"pci 0000:{disk} vfs 0")
    assert disk not in Tree(machine.command("pci")).parents.values()

"""VT-d for real, as QEMU has it: a device that becomes bus master behind the hypervisor's back reads nothing and is told of;
one that keeps translations itself works for its VM and is told when they end.

QEMU's monitor plays the mad device: it programs an rtl8139 network controller by ports to fetch packets from memory."""

import re
import socket
import subprocess
import time

import pytest
from linux_guest import CMDLINE, enter, guest, leave
from machine import GUESTS, HOST_SECTION, SCRIPTS, Machine, make_medium

KEEPER = """[vm keeper]
memory = 256M
boot = linux
kernel = guests/vmlinuz
ramdisk = guests/initrd.img
cmdline = %s
autostart = yes
pci = 0000:01:00.0,ats
""" % CMDLINE
DISK_MIB = 8

DEVICE = "0000:00:07.0"
CONFIG_ADDRESS = 0x80000000 | 7 << 11
CONFIG_COMMAND, CONFIG_BAR = 0x04, 0x10
BUS_MASTER = 4
COMMAND, ENABLE = 0x37, 0x0C  # of the controller
STATUS_0, START_0 = 0x10, 0x20  # of the first of four descriptors: size, which starts it, and address
STORM = 400


class Monitor:
    """QEMU's monitor on a socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.wait_prompt(1)

    def wait_prompt(self, count):
        text = ""
        while text.count("(qemu)") < count:
            text += self.socket.recv(65536).decode(errors="replace")
        return text

    def run(self, *commands):
        self.socket.sendall("".join(f"{command}\n" for command in commands).encode())
        return self.wait_prompt(len(commands))

    def config(self, register):
        text = self.run(f"o /w 0xcf8 {CONFIG_ADDRESS | register:#x}", "i /w 0xcfc")
        return int(re.findall(r"= 0x([0-9a-f]+)", text)[-1], 16)

    def set_bus_master(self):
        self.run(f"o /w 0xcf8 {CONFIG_ADDRESS | CONFIG_COMMAND:#x}", "o /w 0xcfc 7")

    def fetch(self, port, addresses):
        """Has the controller read packets at addresses, one after the other."""
        commands = [f"o /b {port + COMMAND:#x} {ENABLE:#x}"]
        for i, address in enumerate(addresses):
            commands += [f"o /w {port + START_0 + 4 * (i % 4):#x} {address:#x}", f"o /w {port + STATUS_0 + 4 * (i % 4):#x} 60"]
        for start in range(0, len(commands), 20):
            self.run(*commands[start : start + 20])


def devices(folder):
    """The mad one, and a disk that can keep translations, with a unit that serves them."""
    return (f"-monitor unix:{folder}/monitor,server,nowait -device rtl8139,addr=7,romfile= "
            "-global intel-iommu.device-iotlb=on -device pcie-root-port,id=rp1,chassis=1,slot=1 "
            f"-drive if=none,id=kept,format=raw,file={folder}/disk "
            "-device virtio-blk-pci,bus=rp1,drive=kept,iommu_platform=on,ats=on,disable-legacy=on,romfile= "
            f"-trace vtd_inv_desc -D {folder}/trace")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    subprocess.run([SCRIPTS / "guest_files", "--drivers"], check=True)
    folder = tmp_path_factory.mktemp("iommu")
    with open(folder / "disk", "wb") as file:
        file.truncate(DISK_MIB << 20)
    image = make_medium(folder, HOST_SECTION + KEEPER,
                        {f"guests/{name}": GUESTS / "drivers" / name for name in ("vmlinuz", "initrd.img")})
    with Machine(image, "--cpus", 2, "--memory", "1G", "--extra", devices(folder), rig="qemu", limit=300) as started:
        started.wait_up()
        started.folder = folder
        started.monitor = Monitor(folder / "monitor")
        yield started


def test_all_is_translated_and_remapped(machine):
    """That this can be asked shows that the serial line's interrupt goes through an entry."""
    said = machine.command("iommu")
    assert "translation on, remapping on" in said
    assert re.search(r"unit 0 at 0xfed90000, segment 0000, ", said)
    assert "everything else is in quarantine" in said
    assert "faults: 0" in said
    assert re.search(r"DMA translation +yes", machine.command("report"))
    assert re.search(r"interrupt remapping +yes", machine.command("report"))


def test_nobody_may_be_bus_master(machine):
    assert machine.monitor.config(CONFIG_COMMAND) & BUS_MASTER == 0
    assert re.search(rf"{DEVICE} +10ec:8139 +\d+ quarantine", machine.command("pci"))


def test_a_read_is_blocked_and_told(machine):
    monitor = machine.monitor
    machine.port = monitor.config(CONFIG_BAR) & ~3
    monitor.set_bus_master()
    monitor.fetch(machine.port, [0x1234000])
    machine.expect(rf"warning: IOMMU 0: quarantine: device {DEVICE}: read of 0x1234000 blocked: ", 20)
    assert f"{DEVICE}: read of 0x1234000 blocked" in machine.command("iommu")


def device_invalidations(machine):
    return (machine.folder / "trace").read_text(encoding="utf-8").count("type device")


def test_a_disk_keeps_translations_until_it_is_taken_back(machine):
    machine.expect(r"\(keeper\) trivet-guest: date", 200)
    assert "pci 0000:01:00.0: keeps translations itself (ATS)" in machine.command("dmesg")
    assert "0000:01:00.0, keeps translations itself" in machine.command("iommu")
    enter(machine, "keeper")
    guest(machine, f"dd if=/dev/urandom of=/tmp/data bs=1M count={DISK_MIB}; dd if=/tmp/data of=/dev/vda bs=1M; sync")
    guest(machine, "echo 3 > /proc/sys/vm/drop_caches")
    sums = re.findall(r"^([0-9a-f]{64}) ", guest(machine, "sha256sum /tmp/data /dev/vda"), re.M)
    assert len(sums) == 2 and sums[0] == sums[1]
    leave(machine)
    before = device_invalidations(machine)
    machine.send("destroy keeper\r")
    machine.expect(r"pci 0000:01:00.0[^\n]*taken back: reset by FLR", 60)
    machine.wait_off("keeper")
    assert device_invalidations(machine) > before
    assert "audit: clean" in machine.command("audit")


def test_a_storm_is_cut(machine):
    monitor = machine.monitor
    deadline = time.monotonic() + 60
    while "faults in a storm: it is cut off" not in machine.text:
        assert time.monotonic() < deadline, machine.tail()
        monitor.fetch(machine.port, [0x2000000 + 0x1000 * i for i in range(STORM)])
        machine.command("list")
    said = machine.command("iommu")
    assert f"{DEVICE} is cut off" in said
    assert monitor.config(CONFIG_COMMAND) & BUS_MASTER == 0
    # Bus master again, by a way that the hypervisor does not see: blocked as before, and nobody is told.
    before = re.search(r"faults: (\d+)", said)[1]
    monitor.set_bus_master()
    monitor.fetch(machine.port, [0x3000000 + 0x1000 * i for i in range(40)])
    assert re.search(r"faults: (\d+)", machine.command("iommu"))[1] == before
    machine.power_off()

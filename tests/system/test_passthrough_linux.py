"""Devices of the machine driven by Debian's kernel in a VM, on QEMU with VT-d: what it writes is on the host's file."""

import hashlib
import re
import subprocess

import pytest
from machine import DETACH, GUEST_SHELL, GUESTS, HOST_SECTION, Machine, make_medium

DISK_MIB = 192
DATA_MIB = 64
FUNCTION = "0000:01:00.0"
VM = f"""[vm linux]
memory = 192M
boot = linux
kernel = guests/vmlinuz
ramdisk = guests/initrd.img
cmdline = console=ttyS0 quiet
autostart = yes
pci = {FUNCTION}
"""
NVME = "-device pcie-root-port,id=rp1,chassis=1,slot=1 -device nvme,serial=1,bus=rp1,drive=d0 -drive if=none,id=d0,format=raw,file={}"


def guest(machine, line, timeout=120):
    """Types a command at the guest's shell; gives what it printed."""
    mark = len(machine.text)
    machine.send(f"{line}; echo end-$((6 * 7))-{mark}\r")
    machine.expect(rf"end-42-{mark}\r", timeout)
    machine.expect(GUEST_SHELL, timeout)
    return machine.text[mark:]


def enter(machine):
    machine.send("console linux\r")
    machine.expect(r"connected to linux; Ctrl-\] comes back")
    machine.send("\r")
    machine.expect(GUEST_SHELL, 60)


def leave(machine):
    machine.send(DETACH)
    machine.expect("trivet> ")


def checksum(machine, path):
    return re.search(r"\n([0-9a-f]{64}) ", guest(machine, f"sha256sum {path}"))[1]


@pytest.fixture(scope="module", name="disk")
def fixture_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("passthrough")
    file = folder / "disk"
    file.touch()
    with file.open("r+b") as disk:
        disk.truncate(DISK_MIB << 20)
    image = make_medium(folder, HOST_SECTION + VM, {f"guests/{name}": GUESTS / name for name in ("vmlinuz", "initrd.img")})
    with Machine(image, "--extra", NVME.format(file), rig="qemu") as machine:
        machine.wait_up()
        machine.expect(r"\(linux\) trivet-guest: init reached", 120)
        yield machine, file


def test_a_file_system_outlives_a_reboot_and_is_in_the_hosts_file(disk):
    machine, file = disk
    assert re.search(rf"{FUNCTION} .* linux +.*NVMe", machine.command("pci"))
    enter(machine)
    guest(machine, "mke2fs -F /dev/nvme0n1")
    guest(machine, "mkdir -p /disk && mount -t ext2 /dev/nvme0n1 /disk")
    guest(machine, f"dd if=/dev/urandom of=/disk/data bs=1M count={DATA_MIB} && sync")
    written = checksum(machine, "/disk/data")
    guest(machine, "umount /disk")
    machine.send("reboot -f\r")
    machine.expect("trivet-guest: init reached", 120)
    machine.expect(GUEST_SHELL, 60)
    guest(machine, "mkdir -p /disk && mount -t ext2 /dev/nvme0n1 /disk")
    assert checksum(machine, "/disk/data") == written
    guest(machine, "umount /disk")
    leave(machine)
    copy = file.with_name("copy")
    subprocess.run(["/sbin/debugfs", "-R", f"dump /data {copy}", file], check=True, capture_output=True)
    assert copy.stat().st_size == DATA_MIB << 20
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == written


def test_no_dma_was_refused_and_interrupts_came(disk):
    machine, _ = disk
    enter(machine)
    assert re.search(r"nvme0q1", guest(machine, "cat /proc/interrupts"))
    assert "0" in guest(machine, "dmesg | grep -ciE 'nvme.*(timeout|error|reset)'").split()
    leave(machine)
    assert not [line for line in machine.lines() if "IOMMU" in line and "fault" in line]


def test_destroyed_it_is_in_quarantine_and_can_be_given_again(disk):
    machine, _ = disk
    machine.send("destroy linux\r")
    machine.expect(rf"{FUNCTION}[^\n]*reset by FLR[^\n]*\n", 60)
    machine.wait_off("linux")
    assert re.search(rf"{FUNCTION} .* quarantine +.*NVMe", machine.command("pci"))
    machine.send("create linux\r")
    machine.expect(r"trivet-guest: init reached", 120)
    enter(machine)
    guest(machine, "mkdir -p /disk && mount -t ext2 /dev/nvme0n1 /disk")
    assert "data" in guest(machine, "ls /disk").split()

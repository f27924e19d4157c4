"""Disks, network cards and USB of the machine in VMs with Debian's kernels, on QEMU with VT-d."""

import hashlib
import re
import socket
import subprocess
import time

import pytest
from linux_guest import CMDLINE, enter, guest, leave
from machine import HOST_SECTION, Machine, driver_files, make_medium

DATA_MIB = 32
PINGS = 10000
AHCI, XHCI, CARDS = "0000:01:00.0", "0000:02:00.0", ("0000:03:00.0", "0000:04:00.0")


def section(name, *functions, autostart="yes"):
    rows = {"memory": "256M", "boot": "linux", "kernel": "guests/vmlinuz", "ramdisk": "guests/initrd.img",
            "cmdline": CMDLINE, "autostart": autostart}
    return f"[vm {name}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items()) + \
        "".join(f"pci = {function}\n" for function in functions)


def port(number):
    return f"-device pcie-root-port,id=rp{number},chassis={number},slot={number} "


def devices(folder):
    """Each behind a root port of its own, so that it is a group of its own and can be reset."""
    return (port(1) + f"-device ahci,id=ah,bus=rp1 -drive if=none,id=s0,format=raw,file={folder}/sata -device ide-hd,bus=ah.0,drive=s0 " +
            port(2) + f"-device qemu-xhci,id=xh,bus=rp2 -drive if=none,id=u0,format=raw,file={folder}/usb "
            "-device usb-storage,bus=xh.0,drive=u0 -device usb-kbd,bus=xh.0 " +
            "".join(port(3 + i) + f"-netdev hubport,id=n{i},hubid=0 -device e1000e,bus=rp{3 + i},netdev=n{i},mac=52:54:00:00:00:0{i},romfile= "
                    for i in range(2)) + f"-monitor unix:{folder}/monitor,server=on,wait=off")


def wait_for(machine, path):
    guest(machine, f"for i in 1 2 3 4 5 6 7 8 9 10; do [ -e {path} ] || sleep 1; done")
    assert path in guest(machine, f"ls {path}").splitlines()


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("passthrough")
    for name in "sata", "usb":
        with open(folder / name, "wb") as file:
            file.truncate(96 << 20)
    image = make_medium(folder, HOST_SECTION + section("left", AHCI, XHCI, CARDS[0]) + section("right", CARDS[1]),
                        driver_files())
    with Machine(image, "--cpus", 2, "--memory", "2G", "--extra", devices(folder), rig="qemu") as machine:
        machine.wait_up()
        machine.expect(r"\(right\) trivet-guest: date", 200)
        yield machine, folder


@pytest.mark.parametrize("where", ["ata", "usb"])
def test_a_disk_holds_what_is_written_to_it(host, where):
    machine, folder = host
    enter(machine, "left")
    guest(machine, "for i in 1 2 3 4 5 6 7 8 9 10; do [ $(ls -d /sys/block/sd* | wc -l) = 2 ] || sleep 1; done")
    disk = re.search(rf"^(sd.) .*/{where}\d", guest(machine, "cd /sys/block; for d in sd*; do echo $d $(readlink -f $d); done; cd"), re.M)[1]
    guest(machine, f"mke2fs -F /dev/{disk}; mkdir -p /{where}; mount -t ext4 /dev/{disk} /{where}")
    guest(machine, f"dd if=/dev/urandom of=/{where}/data bs=1M count={DATA_MIB}; sync")
    written = re.search(r"^([0-9a-f]{64}) ", guest(machine, f"sha256sum /{where}/data"), re.M)[1]
    guest(machine, f"umount /{where}; echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 /dev/{disk} /{where}")
    assert written in guest(machine, f"sha256sum /{where}/data")
    guest(machine, f"umount /{where}")
    leave(machine)
    copy = folder / "copy"
    image = folder / ("sata" if where == "ata" else "usb")
    subprocess.run(["/sbin/debugfs", "-R", f"dump /data {copy}", image], check=True, capture_output=True)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == written


def test_a_usb_keyboard_types(host):
    machine, folder = host
    enter(machine, "left")
    event = re.search(r"USB Keyboard[\s\S]*?(event\d+)", guest(machine, "cat /proc/bus/input/devices"))[1]
    guest(machine, f"(head -c 24 /dev/input/{event} | wc -c > /tmp/typed) & sleep 0")
    time.sleep(1)
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(folder / "monitor"))
        monitor.sendall(b"sendkey a\n")
        time.sleep(2)
    assert "24" in guest(machine, "cat /tmp/typed").split()
    leave(machine)


def test_two_vms_reach_each_other_and_lose_nothing(host):
    machine, _ = host
    for name, number in ("right", 2), ("left", 1):
        enter(machine, name)
        guest(machine, f"ip addr add 10.0.0.{number}/24 dev eth0; ip link set eth0 up; sleep 4")
        if name == "right":
            leave(machine)
    text = guest(machine, f"ping -q -A -c {PINGS} 10.0.0.2", 400)
    assert f"{PINGS} packets transmitted, {PINGS} packets received, 0% packet loss" in text
    assert re.search(r"PCI-MSI.*eth0", guest(machine, "cat /proc/interrupts"))
    leave(machine)


def test_nothing_of_it_was_a_fault(host):
    machine, _ = host
    assert "faults: 0" in machine.command("iommu")
    assert "audit: clean" in machine.command("audit")


def test_destroyed_while_it_writes_a_disk_can_be_given_again(host):
    machine, _ = host
    enter(machine, "left")
    guest(machine, "(dd if=/dev/zero of=/dev/sda bs=1M &) 2>/dev/null")
    time.sleep(1)
    leave(machine)
    machine.send("destroy left\r")
    machine.expect(rf"pci {re.escape(AHCI)}[^\n]*taken back: reset by [^\n]*\n", 60)
    machine.wait_off("left")
    tree = machine.command("pci")
    for function in AHCI, XHCI, CARDS[0]:
        assert re.search(rf"{re.escape(function)} .* quarantine ", tree)
    assert re.search(rf"{re.escape(CARDS[1])} .* right ", tree)
    assert "audit: clean" in machine.command("audit")
    machine.send("create left\r")
    machine.expect(r"\(left\) trivet-guest: date", 120)
    enter(machine, "left")
    wait_for(machine, "/dev/sda")
    guest(machine, "ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; sleep 4")
    assert "20 packets received" in guest(machine, "ping -q -c 20 -A 10.0.0.2")
    leave(machine)
    machine.power_off()

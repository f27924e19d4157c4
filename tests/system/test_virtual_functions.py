"""SR-IOV on QEMU: virtual functions of a disk and of a network card in two VMs at once, and who may have the physical one."""

import re

import pytest
from linux_guest import CMDLINE, enter, guest, leave
from machine import GUESTS, HOST_SECTION, Machine, driver_files, guest_files, make_medium, vm_section

PHYSICAL = "0000:01:00.0"
CARDS = {"left": "0000:01:10.0", "right": "0000:01:10.2"}
DISKS = {"left": "0000:01:00.1", "right": "0000:01:00.2"}
PORT = "-device pcie-root-port,id=rp1,chassis=1,slot=1 "
PINGS = 2000


def section(name, function):
    return f"[vm {name}]\nmemory = 256M\nboot = linux\nkernel = guests/vmlinuz\nramdisk = guests/initrd.img\n" \
        f"cmdline = {CMDLINE}\nautostart = no\npci = {function}\n"


@pytest.fixture(scope="module", name="cards")
def fixture_cards(tmp_path_factory):
    """An igb: its physical function and its first two virtual ones go to a VM each. The driver of the first serves the others."""
    text = (HOST_SECTION + f"autoexec = pci {PHYSICAL} vfs 3; create driver; create stranger; create left; create right\n" +
            vm_section("driver", "igb_pf", pci=PHYSICAL, autostart="no") + section("stranger", "0000:01:10.4") +
            "".join(section(name, f"{function},permissive") for name, function in CARDS.items()))
    image = make_medium(tmp_path_factory.mktemp("cards"), text, {**driver_files(), **guest_files("igb_pf")})
    extra = PORT + "-netdev hubport,id=n0,hubid=0 -device igb,bus=rp1,netdev=n0,romfile="
    with Machine(image, "--cpus", 2, "--memory", "2G", "--extra", extra, rig="qemu-next") as machine:
        machine.wait_up()
        machine.expect(r"\(right\) trivet-guest: date", 200)
        yield machine


def test_two_vms_reach_each_other_by_virtual_functions(cards):
    for name, number in ("right", 2), ("left", 1):
        enter(cards, name)
        guest(cards, f"ip addr add 10.0.0.{number}/24 dev eth0; ip link set eth0 up; sleep 4")
        assert "02:00:00:00:00:1" in guest(cards, "cat /sys/class/net/eth0/address")  # the driver's answer
        if name == "right":
            leave(cards)
    text = guest(cards, f"ping -q -A -c {PINGS} 10.0.0.2", 300)
    assert f"{PINGS} packets transmitted, {PINGS} packets received, 0% packet loss" in text
    assert re.search(r"PCI-MSI.*eth0-rx", guest(cards, "cat /proc/interrupts"))
    leave(cards)


def test_interrupts_are_remapped_with_wide_destinations(cards):
    """Extended interrupt mode, which x2APIC mode needs: what came above went through it."""
    assert any(re.search(r"local APIC: id 0, x2APIC mode$", line) for line in cards.lines())
    text = cards.command("iommu")
    assert "remapping on (extended)" in text and "faults: 0" in text
    assert "audit: clean" in cards.command("audit")


def test_who_has_the_physical_function_is_trusted_or_refused(cards):
    refused = r"vm stranger: pci 0000:01:10.4: refused: vm driver has its physical function and could reach this VM by it"
    assert any(re.search(refused, line) for line in cards.lines())
    cards.send("destroy driver\r")
    cards.expect(rf"pci {re.escape(PHYSICAL)}[^\n]*taken back: not reset", 60)
    cards.wait_off("driver")
    assert "busy" in cards.command(f"pci {PHYSICAL} reset")
    cards.send("create driver\r")
    cards.expect(r"pci 0000:01:00.0: refused: its virtual function 0000:01:10.\d belongs to vm", 30)
    for name, function in CARDS.items():
        cards.send(f"destroy {name}\r")
        cards.expect(rf"pci {re.escape(function)}[^\n]*taken back: reset by FLR", 60)
        cards.wait_off(name)


def test_a_physical_function_is_reset_with_its_virtual_ones(cards):
    """They come back at their places, and work again."""
    cards.send("create driver\r")
    cards.expect(rf"pci {re.escape(PHYSICAL)}[^\n]*given to it: reset by FLR", 60)
    cards.expect("serves its virtual functions", 30)
    cards.send("create left\r")
    cards.expect(r"\(left\) trivet-guest: date", 120)
    enter(cards, "left")
    assert "02:00:00:00:00:10" in guest(cards, "cat /sys/class/net/eth0/address")
    leave(cards)
    assert "audit: clean" in cards.command("audit")
    cards.power_off()


def test_virtual_disks_go_to_two_vms(tmp_path):
    """QEMU's virtual NVMe controllers stay off line until their physical one's driver says otherwise: seen, but no disk."""
    text = (HOST_SECTION + f"autoexec = pci {PHYSICAL} vfs 2; create left; create right\n" +
            "".join(section(name, function) for name, function in DISKS.items()))
    image = make_medium(tmp_path, text, {f"guests/{name}": GUESTS / name for name in ("vmlinuz", "initrd.img")})
    extra = PORT + ("-device nvme-subsys,id=sub0 -device nvme,serial=1,bus=rp1,subsys=sub0,sriov_max_vfs=4,"
                    "sriov_vq_flexible=8,sriov_vi_flexible=4")
    with Machine(image, "--cpus", 2, "--extra", extra, rig="qemu") as machine:
        machine.wait_up()
        for name, function in DISKS.items():
            machine.expect(rf"vm {name}: pci {re.escape(function)}[^\n]*given to it: reset by FLR", 60)
        machine.expect(r"\(right\) trivet-guest: date", 120)
        for name in DISKS:
            enter(machine, name)
            assert "nvme nvme0: pci function" in guest(machine, "dmesg | grep nvme")
            leave(machine)
        domains = machine.command("iommu")
        assert re.search(r"left .*\n +0000:01:00.1\n", domains) and re.search(r"right .*\n +0000:01:00.2\n", domains)
        assert "audit: clean" in machine.command("audit")
        assert "busy" in machine.command(f"pci {PHYSICAL} reset")
        machine.send("destroy left\r")
        machine.expect(r"pci 0000:01:00.1[^\n]*taken back: reset by FLR", 60)
        machine.wait_off("left")
        assert re.search(r"0000:01:00.1 .* quarantine ", machine.command("pci"))
        assert re.search(r"0000:01:00.2 .* right ", machine.command("pci"))
        machine.power_off()

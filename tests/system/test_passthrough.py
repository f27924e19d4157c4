"""Devices of the machine in guests' hands, on QEMU: what they may do works, and nothing else gets through."""

import hashlib
import re
import socket
import subprocess

import pytest
from linux_guest import CMDLINE, enter, guest
from machine import (DETACH, GUEST_SHELL, GUESTS, HOST_SECTION, Machine, guest_files, make_medium, plain, vm_section)
from workers import next_spans

EDU = "0000:00:02.0"
NVME = "0000:00:03.0"
DISK_MIB = 128
DATA_MIB = 64
BLOCKED = r"IOMMU \d+: {vm}: device {function}: (?:read of|write to) 0x{address:x} blocked"


def linux_section(name, **settings):
    rows = {"memory": "192M", "boot": "linux", "kernel": "guests/vmlinuz", "ramdisk": "guests/initrd.img",
            "cmdline": CMDLINE, **settings}
    return f"[vm {name}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())


def linux_files():
    return {"guests/vmlinuz": GUESTS / "vmlinuz", "guests/initrd.img": GUESTS / "initrd.img"}


@pytest.fixture
def disk(tmp_path):
    """An empty disk of the machine's; its image on the host is written to."""
    path = tmp_path / "nvme.raw"
    with open(path, "wb") as file:
        file.truncate(DISK_MIB << 20)
    return path


def with_disk(path):
    return "--extra", f"-drive if=none,id=n0,format=raw,file={path} -device nvme,drive=n0,serial=trivet"


def test_a_device_works_for_its_guest(tmp_path):
    conf = HOST_SECTION + vm_section("dma", "edu_dma", memory="16M", pci=f"{EDU},permissive")
    with Machine(make_medium(tmp_path, conf, guest_files("edu_dma")), rig="qemu") as machine:
        machine.wait_up()
        machine.expect(rf"vm dma: pci {EDU} \([^\n]*\): given to it: not reset, 16 MiB scrubbed")
        # Who reads that it has stopped may have the device.
        machine.expect(rf"vm dma: pci {EDU} \([^\n]*\): taken back: not reset, 16 MiB scrubbed")
        assert machine.wait_stopped("dma") == "exit 1"
        assert "(dma) PASS edu_dma" in machine.lines()
        assert re.search(rf"^{EDU} .* quarantine ", machine.command("pci"), re.M)
        assert "audit: clean" in machine.command("audit")
        machine.power_off()


def test_dma_elsewhere_is_a_fault_and_changes_nothing(tmp_path):
    """The neighbour checks its memory at its end, the wild one its own; the audit looks at what both reach."""
    conf = (HOST_SECTION + vm_section("wild", "edu_wild", memory="16M", pci=f"{EDU},permissive", on_poweroff="preserve") +
            vm_section("neighbour", "memory_pattern", memory="16M"))
    with Machine(make_medium(tmp_path, conf, guest_files("edu_wild", "memory_pattern")), rig="qemu") as machine:
        machine.wait_up()
        assert machine.wait_stopped("wild") == "exit 1"
        assert "(wild) PASS edu_wild" in machine.lines()
        assert "(neighbour) PASS memory_pattern" in machine.lines()
        text = plain(machine.text)
        for address in (0xa0000, 0x1000000, 0x3f000000, 0xfec00000, 0xfed90000, 0x100000000, 0x7ffffffff000):
            found = re.findall(BLOCKED.format(vm="wild", function=EDU, address=address), text)
            assert len(found) == 2, f"{address:#x}: {found}"
        assert not re.search(r"interrupt 0x\w+ came, but nobody handles it|unexpected", text)
        assert "audit: clean" in machine.command("audit")
        machine.send("destroy wild\r")
        machine.expect(rf"vm wild: pci {EDU} \([^\n]*\): taken back")
        assert "audit: clean" in machine.command("audit")
        machine.power_off()


def test_what_cannot_be_confined_is_refused(tmp_path):
    """One VM for each reason; the one that may stays."""
    wishes = {
        "noreset": (EDU, "there is no way to reset it; ',permissive' behind its address accepts that"),
        "bridge": ("0000:00:1f.0", "the machine or the console needs it"),
        "group": ("0000:00:1f.2", r"it cannot be isolated from 0000:00:1f\.\d \([^\n]*\), which this VM does not have"),
        "absent": ("0000:7f:1f.7", "this machine has no such function"),
    }
    conf = HOST_SECTION + "".join(vm_section(name, "hello", pci=pci) for name, (pci, _) in wishes.items())
    conf += vm_section("first", "cli_hlt", memory="16M", pci=f"{EDU},permissive")
    conf += vm_section("second", "hello", pci=f"{EDU},permissive")
    with Machine(make_medium(tmp_path, conf, guest_files("hello", "cli_hlt")), rig="qemu") as machine:
        machine.wait_up()
        machine.expect(rf"vm second: pci {EDU}: refused: it belongs to vm first")
        for name, (pci, reason) in wishes.items():
            assert machine.count(rf".*error: vm {name}: pci {pci}: refused: {reason}") == 1, machine.tail()
        machine.expect("vm first: started")
        assert machine.count(r".*info: vm .*: started") == 1
        machine.power_off()


def test_without_an_iommu_nothing_is_passed_through(tmp_path):
    """Bochs has none; its disk controller is a function that exists."""
    conf = HOST_SECTION + vm_section("disk", "hello", pci="0000:00:01.1,permissive")
    with Machine(make_medium(tmp_path, conf, guest_files("hello"))) as machine:
        machine.wait_up()
        machine.expect(r"vm disk: pci 0000:00:01.1: refused: [^\n]*(?:nothing would confine its DMA|needs it)[^\n]*\n")
        machine.power_off()


def test_linux_drives_an_nvme_disk(tmp_path, disk):
    """Makes a file system, writes 64 MiB, starts again, reads them back; the image on the host holds them."""
    conf = HOST_SECTION + linux_section("web", pci=NVME)
    with Machine(make_medium(tmp_path, conf, linux_files()), *with_disk(disk), rig="qemu") as machine:
        machine.wait_up()
        machine.expect(rf"vm web: pci {NVME} \([^\n]*\): given to it: reset by FLR, 192 MiB scrubbed")
        machine.expect(r"\(web\) trivet-guest: init reached", 120)
        enter(machine, "web")
        guest(machine, "mke2fs /dev/nvme0n1 && mkdir -p /mnt && mount -t ext2 /dev/nvme0n1 /mnt")
        written = guest(machine, f"dd if=/dev/urandom of=/mnt/data bs=1M count={DATA_MIB} && sync && md5sum /mnt/data")
        checksum = re.search(r"^([0-9a-f]{32})  /mnt/data", written, re.M)[1]
        interrupts = guest(machine, "grep nvme /proc/interrupts")
        assert re.search(r"PCI-MSI.* nvme0q1", interrupts), interrupts
        machine.send("umount /mnt; reboot -f\r")
        machine.expect(rf"vm web: pci {NVME} \([^\n]*\): taken back: reset by FLR, 192 MiB scrubbed", 60)
        machine.expect(rf"vm web: pci {NVME} \([^\n]*\): given to it: reset by FLR, 192 MiB scrubbed", 60)
        machine.expect(r"trivet-guest: init reached", 120)
        machine.send("\r")
        machine.expect(GUEST_SHELL, 60)
        guest(machine, "mkdir -p /mnt && mount -t ext2 -o ro /dev/nvme0n1 /mnt")
        assert checksum in guest(machine, "md5sum /mnt/data")
        machine.send(DETACH)
        machine.expect("trivet> ")
        assert "audit: clean" in machine.command("audit")
        machine.power_off()
    copy = tmp_path / "data"
    subprocess.run(["/sbin/debugfs", "-R", f"dump /data {copy}", str(disk)], check=True, capture_output=True)
    assert hashlib.md5(copy.read_bytes()).hexdigest() == checksum


def keep_disk_busy(machine, name):
    """The disk writes to the VM's memory as fast as it can, for as long as the VM is there."""
    machine.expect(rf"\({name}\) trivet-guest: init reached", 120)
    enter(machine, name)
    machine.send("while :; do dd if=/dev/nvme0n1 of=/dev/null bs=1M count=64 2>/dev/null; echo round; done\r")
    for _ in range(3):
        machine.expect(r"round\r", 60)
    machine.send(DETACH)
    machine.expect("trivet> ")


def test_a_vm_is_reset_and_destroyed_amid_dma(tmp_path, disk):
    """After a reset the disk works for the same VM; after the end it is silent, and another VM's."""
    conf = HOST_SECTION + linux_section("first", pci=NVME) + linux_section("second", pci=NVME, autostart="no")
    with Machine(make_medium(tmp_path, conf, linux_files()), *with_disk(disk), rig="qemu") as machine:
        machine.wait_up()
        keep_disk_busy(machine, "first")
        machine.send("reset first\r")
        machine.expect(rf"vm first: pci {NVME} \([^\n]*\): taken back: reset by FLR, 192 MiB scrubbed", 60)
        machine.expect(rf"vm first: pci {NVME} \([^\n]*\): given to it: reset by FLR, 192 MiB scrubbed", 60)
        keep_disk_busy(machine, "first")
        machine.send("destroy first\r")
        machine.expect(rf"vm first: pci {NVME} \([^\n]*\): taken back: reset by FLR, 192 MiB scrubbed", 60)
        machine.expect(r"vm first: stopped \(destroyed\)", 60)
        assert re.search(rf"^{NVME} .* quarantine ", machine.command("pci"), re.M)
        assert "audit: clean" in machine.command("audit")
        assert not re.search(r"device \S+: (?:read of|write to) \S+ blocked", plain(machine.text))
        machine.send("create second\r")
        machine.expect(rf"vm second: pci {NVME} \([^\n]*\): given to it: reset by FLR", 60)
        machine.expect(r"\(second\) trivet-guest: init reached", 120)
        enter(machine, "second")
        assert "134217728" in guest(machine, "cat /dev/nvme0n1 | wc -c")
        machine.send(DETACH)
        machine.expect("trivet> ")
        machine.power_off()


def test_interrupts_without_end_are_held_back(tmp_path):
    """The storm is aimed at the CPU where the victim computes and the wild VM only sleeps."""
    conf = (HOST_SECTION + vm_section("victim", "worker", cmdline="span=1000", cpus="1") +
            vm_section("wild", "edu_storm", memory="16M", vcpus=2, cmdline="wait=6000", pci=f"{EDU},permissive"))
    with Machine(make_medium(tmp_path, conf, guest_files("worker", "edu_storm")), "--cpus", 2, rig="qemu") as machine:
        machine.wait_up()
        machine.expect("vm wild: started")
        machine.command("vcpu-pin wild 0 0")
        machine.command("vcpu-pin wild 1 1")
        fair = next_spans(machine, ["victim"], 2)["victim"]
        machine.expect(r"\(wild\) edu_storm: begins")
        machine.expect(rf"vm wild: pci {EDU}: its interrupts take the time of others: held back, \d+ times so far")
        share = next_spans(machine, ["victim"], 3)["victim"]
        assert share > 0.5 * fair, f"the victim has {share:.2f} %, alone {fair:.2f} %"
        assert re.search(r"held back \d+ times", machine.command("irq wild"))
        assert machine.count(r".*its interrupts take the time of others.*") < 20
        machine.command("destroy wild")
        machine.expect(rf"vm wild: pci {EDU} \([^\n]*\): taken back[^\n]*\n")
        machine.expect(r"vm wild: stopped \(destroyed\)")
        assert "audit: clean" in machine.command("audit")
        machine.power_off()


def ask_monitor(path, command):
    """What QEMU's monitor answers: the machine as it is, past Trivet."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(path))
        monitor.settimeout(20)
        text = b""
        for line in (b"", command.encode() + b"\n"):
            monitor.sendall(line)
            before = text.count(b"(qemu) ")
            while text.count(b"(qemu) ") == before:
                text += monitor.recv(65536)
    return plain(text.decode(errors="replace")).split(command)[-1]


def test_hostile_configuration_does_nothing_outside(tmp_path, disk):
    """Every register and BAR of all its devices, and messages of a disk to everywhere; the machine's own registers stay."""
    conf = (HOST_SECTION +
            vm_section("wild", "pci_wild", memory="16M", pci=f"{EDU},permissive", on_poweroff="preserve", autostart="no")
            .replace("pci =", f"pci = {NVME}\npci =") + vm_section("neighbour", "memory_pattern", memory="16M"))
    monitor = tmp_path / "monitor"
    option, extra = with_disk(disk)
    with Machine(make_medium(tmp_path, conf, guest_files("pci_wild", "memory_pattern")), option,
                 f"{extra} -monitor unix:{monitor},server,nowait", rig="qemu") as machine:
        machine.wait_up()
        before, tree = ask_monitor(monitor, "info pci"), machine.command("pci").count("hypervisor")
        machine.send("create wild\r")
        assert machine.wait_stopped("wild") == "exit 1", machine.tail()
        assert "(wild) PASS pci_wild" in machine.lines()
        assert "(neighbour) PASS memory_pattern" in machine.lines()
        after = ask_monitor(monitor, "info pci")
        assert "NVM" in after.upper() or "1b36:0010" in after
        assert after == before
        assert machine.command("pci").count("hypervisor") == tree
        assert "audit: clean" in machine.command("audit")
        machine.send("destroy wild\r")
        machine.expect(r"vm wild: stopped \(destroyed\)")
        assert "audit: clean" in machine.command("audit")
        machine.power_off()

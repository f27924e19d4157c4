"""Machines of all sorts: two processors, without VMX, without EPT."""

import re
import subprocess

import pytest
from machine import HOST_SECTION, SCRIPTS, TEST_GUESTS, Machine, guest_files, make_medium, vm_section

CONFIGURATION = """\
[host]
version = 1
console = serial:com1,115200
console = fb
[vm hello]
memory = 16M
boot = multiboot
kernel = guests/hello.elf
testdev = yes
"""
FILES = {"guests/hello.elf": TEST_GUESTS / "hello.elf"}

# Rig, options of scripts/emu, and what the reason must name.
WITHOUT = {
    "qemu": ("qemu", ["--model", "max,-svm"], r"neither VMX .* nor SVM"),
    "bochs-amd": ("bochs", ["--model", "athlon64_venice"], r"neither VMX .* nor SVM"),
    "bochs-no-ept": ("bochs", ["--model", "core2_penryn_t9600"], r"EPT"),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return make_medium(tmp_path_factory.mktemp("hosts"), CONFIGURATION, FILES)


@pytest.fixture(scope="module", params=WITHOUT)
def poor(request, image):
    rig, options, reason = WITHOUT[request.param]
    with Machine(image, *options, rig=rig) as machine:
        machine.wait_up()
        machine.reason = reason
        yield machine


def test_the_prompt_comes_without_virtualization_and_says_why(poor):
    assert re.search(rf"VMs cannot run: .*{poor.reason}", poor.command("dmesg")), poor.tail()
    assert re.search(r"vm hello: not started", poor.command("dmesg"))
    assert "vm hello: started" not in poor.text


def test_the_report_names_what_is_missing(poor):
    assert re.search(poor.reason, poor.command("report")), poor.tail()


def test_the_machine_can_be_looked_at(poor):
    assert len(re.findall(r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] ", poor.command("pci"), re.M)) >= 3
    assert re.search(r"^ *0 +0 +online", poor.command("cpu"), re.M)


def test_the_machine_powers_off(poor):
    poor.send("poweroff\r")
    assert poor.wait_end() == 0, poor.tail()


def test_two_processors_are_up_and_in_vmx_operation(image):
    with Machine(image, "--cpus", 2) as machine:
        assert machine.wait_up()[0] == 2
        assert machine.wait_stopped("hello") == "exit 1"
        rows = re.findall(r"^ *(\d+) +(\d+) +online +on ", machine.command("cpu"), re.M)
        assert [row[0] for row in rows] == ["0", "1"] and rows[0][1] != rows[1][1], machine.tail()
        machine.send("poweroff\r")
        assert machine.wait_end() == 0, machine.tail()


def test_many_processors_on_qemu(image):
    with Machine(image, "--cpus", 8, rig="qemu") as machine:
        assert machine.wait_up()[0] == 8
        assert len(re.findall(r"^ *\d+ +\d+ +online", machine.command("cpu"), re.M)) == 8


MORE = """\
[vm second]
memory = 16M
boot = multiboot
kernel = guests/exit_code.elf
ramdisk = guests/hello.elf
testdev = yes
autostart = no
"""


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A disk image and an ISO with one more configuration."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "guests").mkdir()
    for name in ("hello.elf", "exit_code.elf"):
        (folder / "guests" / name).write_bytes((TEST_GUESTS / name).read_bytes())
    (folder / "first.conf").write_text(CONFIGURATION)
    (folder / "more.conf").write_text(MORE)
    made = {}
    for program, name in (("mkimage", "disk.img"), ("mkiso", "disk.iso")):
        made[name] = folder / name
        subprocess.run([SCRIPTS / program, "--extra", folder / "more.conf", folder / "first.conf", made[name]], check=True)
    return made


@pytest.mark.parametrize("rig, name", [("bochs", "disk.img"), ("bochs-bios", "disk.iso")])
def test_a_vm_is_created_from_one_more_configuration(media, rig, name):
    """Both loaders find it on the medium, and the files that it alone names."""
    with Machine(media[name], rig=rig) as machine:
        machine.wait_up()
        assert machine.wait_stopped("hello") == "exit 1"
        assert "vm second" not in machine.text and "warning: loader" not in machine.text
        machine.send("create more.conf\r")
        assert machine.wait_stopped("second").startswith("exit "), machine.tail()


@pytest.mark.parametrize("name", ["disk.img", "disk.iso"])
def test_a_usb_stick_boots(media, name):
    """UEFI finds the loader on the only disk, a stick on xHCI: ours, and GRUB on the hybrid ISO."""
    with Machine(media[name], "--as", "usb", rig="qemu") as machine:
        machine.wait_up()
        assert "not found on the boot medium" not in machine.text
        machine.send("poweroff\r")
        assert machine.wait_end() == 0, machine.tail()


def test_the_machine_restarts(image):
    with Machine(image, rig="qemu") as machine:
        machine.wait_up()
        machine.send("reboot-host\r")
        machine.wait_up()


def test_the_lines_that_scripts_rely_on(image):
    """To the letter."""
    with Machine(image) as machine:
        machine.wait_up()
        machine.wait_stopped("hello")
        machine.command("list")
        lines = machine.lines()
    for wanted in (r"\[ *\d+\.\d{6}\] info: trivet \d+\.\d+\.\d+: up, 1 CPUs, \d+ MiB", r"\[ *\d+\.\d{6}\] info: vm hello: started",
                   r"\(hello\) hello from hello", r"\[ *\d+\.\d{6}\] info: vm hello: stopped \(exit 1\)"):
        assert sum(1 for line in lines if re.fullmatch(wanted, line)) == 1, (wanted, lines)


def test_when_all_vms_have_stopped_the_machine_powers_off(tmp_path):
    text = CONFIGURATION.replace("console = fb\n", "when_all_stopped = poweroff\n")
    with Machine(make_medium(tmp_path, text, FILES)) as machine:
        assert machine.wait_end(120) == 0, machine.tail()
        assert machine.wait_stopped("hello") == "exit 1"


def test_the_log_level_and_help(image):
    with Machine(image, rig="qemu") as machine:
        machine.wait_up()
        assert re.search(r"list", machine.command("help list"))
        machine.command("log error")
        machine.command("log info")
        assert len(machine.command("log shout").splitlines()) >= 2


def test_a_guest_has_memory_above_4_gib(tmp_path):
    text = CONFIGURATION.replace("hello", "memory_pattern").replace("16M", "3200M")
    image = make_medium(tmp_path, text, {"guests/memory_pattern.elf": TEST_GUESTS / "memory_pattern.elf"})
    with Machine(image, "--memory", 4096) as machine:
        machine.wait_up()
        assert machine.wait_stopped("memory_pattern", 200) == "exit 1", machine.tail()
        assert "memory_pattern: 100000000 to 108000000 checked" in machine.text


def test_a_processor_with_a_wide_apic_id_gets_a_devices_interrupts(tmp_path):
    """On QEMU 11: x2APIC mode, and remapping with destinations of 32 bits."""
    conf = HOST_SECTION + vm_section("dma", "edu_dma", memory="16M", pci="0000:00:02.0,permissive", cpus="1")
    cpus = "-smp cpus=1,sockets=300,cores=1,threads=1,maxcpus=300 -device max-x86_64-cpu,socket-id=299,core-id=0,thread-id=0"
    with Machine(make_medium(tmp_path, conf, guest_files("edu_dma")), "--extra", cpus, rig="qemu-next") as machine:
        assert machine.wait_up()[0] == 2
        assert machine.wait_stopped("dma") == "exit 1"
        assert "(dma) PASS edu_dma" in machine.lines()
        assert any(line.endswith("local APIC: id 0, x2APIC mode") for line in machine.lines())
        assert re.search(r"^ *1 +299 +online", machine.command("cpu"), re.M)
        assert "remapping on (extended)" in machine.command("iommu")
        assert "audit: clean" in machine.command("audit")
        machine.power_off()

"""What cannot be done is told, on the serial line and on the screen, and the prompt comes all the same."""

import re
import subprocess

import pytest
from machine import GUESTS, SCRIPTS, TEST_GUESTS, Machine, make_medium

HOST = "[host]\nversion = 1\nconsole = serial:com1,115200\nconsole = fb\n"
GOOD = "[vm good]\nmemory = 16M\nboot = multiboot\nkernel = guests/hello.elf\ntestdev = yes\n"

BROKEN = HOST + GOOD + """\
[vm misspelt]
memory = 64M
boot = linux
kernal = guests/vmlinuz
[vm absent]
memory = 64M
boot = linux
kernel = guests/absent
[vm cut]
memory = 64M
boot = linux
kernel = guests/cut
[vm tight]
memory = 16M
boot = linux
kernel = guests/vmlinuz
[vm text]
memory = 16M
boot = multiboot
kernel = guests/text
[vm huge]
memory = 512G
boot = multiboot
kernel = guests/hello.elf
"""
# What must be said about each.
SAID = {
    "misspelt": r"trivet\.conf:13:1: .*kernal.*kernel",
    "absent": r"vm absent: kernel guests/absent: not found",
    "cut": r"vm cut: kernel guests/cut: truncated",
    "tight": r"vm tight: kernel guests/vmlinuz: needs \d+ MiB, the VM has 16 MiB",
    "text": r"vm text: kernel guests/text: .*Multiboot",
    "huge": r"vm huge: .*memory",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    kernel = (GUESTS / "vmlinuz").read_bytes()
    files = {"guests/hello.elf": TEST_GUESTS / "hello.elf", "guests/vmlinuz": kernel, "guests/cut": kernel[:len(kernel) // 2],
             "guests/text": b"no kernel at all\n" * 1000}
    image = make_medium(tmp_path_factory.mktemp("broken"), BROKEN, files, force=True)
    with Machine(image) as machine:
        machine.wait_up()
        machine.wait_stopped("good")
        machine.log = machine.command("dmesg", 60)
        yield machine


@pytest.mark.parametrize("name", SAID)
def test_a_refused_vm_is_told(broken, name):
    assert re.search(SAID[name], broken.log + broken.text), broken.tail()
    assert f"vm {name}: started" not in broken.text


def test_the_other_vms_run(broken):
    assert broken.wait_stopped("good") == "exit 1"
    assert "good" in broken.command("list")


# Broken media: what the console says before the prompt.
MEDIA = {
    "no configuration": (None, r"trivet\.conf: not found"),
    "an empty configuration": ("", r"trivet \S+: up"),
    "no configuration text": ("\x00\xff\x01 [[[\n=\n[vm\n", r"trivet\.conf:\d+:\d+: "),
}


@pytest.mark.parametrize("name", MEDIA)
def test_the_prompt_comes_from_a_broken_medium(tmp_path, name):
    text, said = MEDIA[name]
    with Machine(make_medium(tmp_path, text, force=True), rig="qemu") as machine:
        machine.wait_up()
        assert re.search(said, machine.command("dmesg")), machine.tail()


def test_a_medium_without_a_hypervisor_is_told_by_the_loader(tmp_path):
    image = tmp_path / "none.img"
    subprocess.run([SCRIPTS / "mkimage", "--force", "--elf", tmp_path / "none", image], check=True, stdout=subprocess.DEVNULL)
    with Machine(image, rig="qemu") as machine:
        machine.expect(r"trivet\.elf", 60)


# -- the screen ---------------------------------------------------------------

def read_ppm(path):
    """Gives (width, height, pixels as bytes, three a pixel)."""
    data = path.read_bytes()
    fields = re.match(rb"P6\s+(\d+)\s+(\d+)\s+(\d+)\s", data)
    return int(fields[1]), int(fields[2]), data[fields.end():]


def text_rows(path):
    """How many lines of pixels hold both background and lit pixels."""
    width, height, pixels = read_ppm(path)
    rows = (pixels[y * width * 3:(y + 1) * width * 3] for y in range(height))
    return sum(1 for row in rows if 20 < sum(1 for x in range(0, len(row), 3) if max(row[x:x + 3]) > 0x60) < width // 2)


def test_a_refusal_is_on_the_screen_too(tmp_path):
    """Two runs, alike but for one refused VM: its message is seen as more lines of text."""
    shown = {}
    for name, text in (("good", HOST), ("bad", HOST + "[vm bad]\nmemory = 64M\nboot = linux\nkernal = x\n")):
        image = make_medium(tmp_path / name, text, force=True)
        screen = tmp_path / f"{name}.ppm"
        result = subprocess.run([SCRIPTS / "emu", "--rig", "qemu", "--timeout", "100", "--until", "trivet> ", "--screenshot", screen, image],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        shown[name] = text_rows(screen)
    assert shown["good"] > 20, "the screen shows no text"
    assert shown["bad"] > shown["good"] + 8, shown

"""`make usb`: what is refused, asked, written and read back. A file stands in for the stick, and folders for /sys and /proc."""

import importlib.machinery
import importlib.util
import io
import os
import re
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))
from rigs import usb_stick  # noqa: E402

MIB = 1024 * 1024
IMAGE_SIZE = 9 * MIB + 512  # no whole number of the pieces that are written


def load_script():
    loader = importlib.machinery.SourceFileLoader("write_usb", str(TOP / "scripts/write_usb"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("write_usb", loader))
    loader.exec_module(module)
    return module


class World:
    """An image, and a stick `sdz` of one partition in a /sys and a /proc of their own."""

    def __init__(self, folder):
        self.image, self.device = folder / "trivet.img", folder / "sdz"
        self.sys, self.proc = folder / "sys", folder / "proc"
        self.content = os.urandom(IMAGE_SIZE)
        self.image.write_bytes(self.content)
        self.device.write_bytes(b"\xee" * (16 * MIB))
        entry = self.sys / "class/block/sdz"
        self.attributes(entry, size=16 * MIB // 512, removable=1, ro=0, dev="8:240")
        self.attributes(entry / "device", vendor="Acme  ", model="Stick 2000")
        self.attributes(entry / "sdz1", size=8 * MIB // 512, partition=1, dev="8:241")
        (self.proc / "self").mkdir(parents=True)
        self.mounted("22 1 8:1 / / rw - ext4 /dev/sda1 rw")
        (self.proc / "swaps").write_text("Filename\tType\n/dev/sda2 partition 1 0 -2\n")

    @staticmethod
    def attributes(folder, **values):
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n")

    def mounted(self, *lines):
        (self.proc / "self/mountinfo").write_text("".join(line + "\n" for line in lines))

    def run(self, *options, answer="yes\n", device=None):
        sys.stdin = io.StringIO(answer)
        try:
            return load_script().main([*options, "--sys", str(self.sys), "--proc", str(self.proc),
                                       str(self.image), str(device or self.device)])
        finally:
            sys.stdin = sys.__stdin__

    def untouched(self):
        return self.device.read_bytes() == b"\xee" * (16 * MIB)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_an_image_is_written_and_verified(world, capsys):
    assert world.run() == 0
    written = world.device.read_bytes()
    assert written[:IMAGE_SIZE] == world.content
    assert written[IMAGE_SIZE:] == b"\xee" * (16 * MIB - IMAGE_SIZE)
    seen = capsys.readouterr()
    assert "Acme Stick 2000, 0.0 GB, removable" in seen.out and "sdz1: 8 MB" in seen.out
    assert "Type yes" in seen.out and "is ready and verified" in seen.out
    for what in ("writing", "verifying"):
        assert f"usb: {what}: 4 of 9 MiB (44%)" in seen.err and f"usb: {what}: 9 of 9 MiB (100%)" in seen.err


@pytest.mark.parametrize("answer", ["", "\n", "no\n", "y\n", "YES\n"])
def test_only_yes_is_yes(world, capsys, answer):
    assert world.run(answer=answer) == 1
    assert world.untouched()
    assert "nothing was written" in capsys.readouterr().err


REFUSALS = {
    "mounted": (lambda w: w.mounted("30 1 8:241 / /media/stick rw - vfat /dev/sdz1 rw"), r"in use: sdz1 \(/media/stick\)"),
    "mounted with a number of its own": (lambda w: w.mounted("30 1 0:33 / /mnt rw - btrfs /dev/sdz1 rw"), r"in use: sdz1 \(/mnt\)"),
    "swap": (lambda w: (w.proc / "swaps").write_text("Filename\n/dev/sdz partition 1 0 -2\n"), r"in use: sdz \(swap\)"),
    "held": (lambda w: (w.sys / "class/block/sdz/sdz1/holders/dm-0").mkdir(parents=True), r"in use: sdz1 \(held by dm-0\)"),
    "built in": (lambda w: w.attributes(w.sys / "class/block/sdz", removable=0), "not a removable disk"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_disk_in_use_or_built_in_needs_force(world, capsys, name):
    change, message = REFUSALS[name]
    change(world)
    assert world.run() == 1
    assert world.untouched()
    errors = capsys.readouterr().err
    assert re.search(message, errors) and "FORCE=1" in errors
    assert world.run("--force") == 0
    assert world.device.read_bytes()[:IMAGE_SIZE] == world.content


@pytest.mark.parametrize("change, message", [
    (lambda w: w.mounted("22 1 8:241 / / rw - ext4 /dev/sdz1 rw"), "holds the system that runs now"),
    (lambda w: w.attributes(w.sys / "class/block/sdz", ro=1), "write-protected"),
    (lambda w: w.attributes(w.sys / "class/block/sdz", size=4 * MIB // 512), "has 4 MiB, but the image has 9 MiB"),
])
def test_some_disks_no_force_overwrites(world, capsys, change, message):
    change(world)
    assert world.run("--force") == 1
    assert world.untouched()
    assert message in capsys.readouterr().err


def test_a_partition_or_no_disk_is_refused(world, capsys, tmp_path):
    partition = tmp_path / "sdz1"
    partition.write_bytes(b"\xee" * MIB)
    world.attributes(world.sys / "class/block/sdz1", partition=1, size=2048, removable=1)
    assert world.run(device=partition) == 1
    assert "name the whole disk" in capsys.readouterr().err
    assert world.run(device=world.image) == 1
    assert "no disk of this name" in capsys.readouterr().err
    assert world.run(device=tmp_path / "none") == 1
    assert "No such file" in capsys.readouterr().err
    # In the true /sys only a block device is one.
    with pytest.raises(usb_stick.RigError, match="is not a block device"):
        usb_stick.find(world.device)


@pytest.mark.parametrize("offset", [0, 4 * MIB - 1, IMAGE_SIZE - 1])
def test_a_byte_that_did_not_stay_is_found(world, capsys, monkeypatch, offset):
    """A bad stick: what was written is not what comes back."""
    def lose_a_byte(_):
        with open(world.device, "r+b") as device:
            device.seek(offset)
            device.write(bytes([world.content[offset] ^ 1]))

    monkeypatch.setattr(usb_stick, "forget_cache", lose_a_byte)
    assert world.run() == 1
    seen = capsys.readouterr()
    assert f"byte {offset} is not what was written there" in seen.err and "verified" not in seen.out


def test_a_stick_that_ends_early_is_found(world, capsys, monkeypatch):
    monkeypatch.setattr(usb_stick, "forget_cache", lambda _: os.truncate(world.device, 5 * MIB))
    assert world.run() == 1
    assert f"byte {5 * MIB} is not what was written there" in capsys.readouterr().err

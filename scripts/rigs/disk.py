"""Writes a disk image with one EFI system partition, by mtools."""

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from .common import RigError

SECTOR = 512
MIB = 1024 * 1024
PARTITION_START = 1 * MIB
CLUSTER_SECTORS = 32  # firmware reads large clusters several times faster
SMALLEST = 96 * MIB  # FAT16 with such clusters needs 64 MiB at least
FAT32_FROM = 1000 * MIB  # beyond that FAT16's cluster numbers do not reach
PARTITION_TYPE_ESP = 0xEF

# What a machine without UEFI says instead of hanging silently: prints the
# text at 0x7c00 + 0x20 with BIOS calls and halts.
BIOS_CODE = bytes([
    0xFA, 0x31, 0xC0, 0x8E, 0xD8,  # cli; xor ax,ax; mov ds,ax
    0xBE, 0x20, 0x7C,              # mov si, 0x7c20
    0xAC, 0x84, 0xC0, 0x74, 0x09,  # next: lodsb; test al,al; jz stop
    0xB4, 0x0E, 0xBB, 0x07, 0x00, 0xCD, 0x10,  # mov ah,0eh; mov bx,7; int 10h
    0xEB, 0xF2,                    # jmp next
    0xF4, 0xEB, 0xFD,              # stop: hlt; jmp stop
])
BIOS_TEXT = b"This Trivet disk boots by UEFI only; for a legacy BIOS use make iso.\r\n\0"


def write_image(out, loader, hypervisor, files):
    """Makes the image at `out`, which appears only when it is complete."""
    entries = [(f"trivet/{file.name}", file.source) for file in files]
    if hypervisor:
        entries.insert(0, ("trivet/trivet.elf", hypervisor))
    if loader:
        entries.insert(0, ("EFI/BOOT/BOOTX64.EFI", loader))
    size = image_size(source.stat().st_size for _, source in entries)
    part = out.with_name(out.name + ".part")
    try:
        with open(part, "wb") as image:
            image.truncate(size)
            image.write(boot_record(size))
        _fill(part, size, entries)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def image_size(file_sizes):
    cluster = CLUSTER_SECTORS * SECTOR
    content = sum(-(-size // cluster) * cluster for size in file_sizes)
    wanted = max(SMALLEST, content + content // 16 + 8 * MIB)
    # Whole cylinders of 16 heads and 63 sectors: Bochs guesses that geometry.
    cylinder = 16 * 63 * SECTOR
    return -(-wanted // cylinder) * cylinder


def boot_record(size):
    first = PARTITION_START // SECTOR
    count = (size - PARTITION_START) // SECTOR
    no_chs = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, no_chs, PARTITION_TYPE_ESP, no_chs, first, count)
    code = BIOS_CODE.ljust(0x20, b"\0") + BIOS_TEXT
    return code.ljust(440, b"\0") + b"TRVT\0\0" + entry.ljust(64, b"\0") + b"\x55\xaa"


def _fill(image, size, entries):
    volume = f"{image}@@{PARTITION_START}"
    sectors = (size - PARTITION_START) // SECTOR
    fat = ["-F"] if size >= FAT32_FROM else []
    _mtool("mformat", "-i", volume, *fat, "-c", str(CLUSTER_SECTORS), "-v", "TRIVET",
           "-N", "54525654", "-h", "16", "-s", "63", "-H", str(PARTITION_START // SECTOR),
           "-T", str(sectors), "::")
    with tempfile.TemporaryDirectory(prefix="trivet-image-") as folder:
        tree = Path(folder)
        for name, source in entries:
            target = tree / PurePosixPath(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.resolve())
        for top in sorted(tree.iterdir()):
            _mtool("mcopy", "-i", volume, "-s", "-Q", str(top), "::")


def _mtool(*command):
    if shutil.which(command[0]) is None:
        raise RigError("mtools is not installed; run scripts/setup")
    # mtools would refuse sizes that are no multiple of its idea of a track.
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode != 0:
        raise RigError(f"{command[0]}: {result.stderr.strip() or result.stdout.strip()}")

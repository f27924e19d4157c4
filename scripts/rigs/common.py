"""What every rig shares: paths, errors and the description of one machine."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
RIGS_DIR = TOP / "build" / "rigs"

# In order of preference. -bios takes one file with code and variables; newer
# Debian releases ship only split 4 MiB builds beside it.
OVMF_FILES = ("/usr/share/ovmf/OVMF.fd", "/usr/share/qemu/OVMF.fd", "/usr/share/OVMF/OVMF.fd")


class RigError(Exception):
    """Something that the user can mend: bad use or a missing program."""


@dataclass
class Machine:
    """One machine to start, as the command line described it."""

    image: Path
    medium: str  # disk, cdrom or usb
    cpus: int = 1
    memory_mib: int = 1024
    model: str = ""
    ips: int = 50_000_000
    no_reboot: bool = False
    extra: list = field(default_factory=list)
    disks: list = field(default_factory=list)


@dataclass
class Ending:
    """Why an emulator's process ended."""

    powered_off: bool
    what: str


def fetched_program(rig, program, *loader_options):
    """The command of a program of build/rigs/RIG (scripts/fetch_rig): through the dynamic loader that came with it."""
    root = RIGS_DIR / rig
    if not (root / ".complete").exists():
        raise RigError(f"this rig has not been fetched; run scripts/fetch_rig {rig}")
    libraries = root / "usr/lib/x86_64-linux-gnu"
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), *loader_options,
            str(root / "usr/bin" / program)]


def find_ovmf():
    for name in OVMF_FILES:
        if os.access(name, os.R_OK):
            return name
    raise RigError("OVMF is not installed (package ovmf); run scripts/setup")


def is_iso9660(path):
    """True for a file with an ISO 9660 volume descriptor (hybrid images too)."""
    with open(path, "rb") as image:
        image.seek(16 * 2048)
        return image.read(6)[1:] == b"CD001"


def check_image(path):
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise RigError(f"{path}: {error.strerror}") from None
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise RigError(f"{path}: not an image file")
    if not os.access(path, os.R_OK):
        raise RigError(f"{path}: no permission to read it")

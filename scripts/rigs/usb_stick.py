"""A USB stick (or any disk): what it is, whether it may be overwritten, writing an image to it and reading that back."""

import fcntl
import os
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .common import RigError

SYS = Path("/sys")
PROC = Path("/proc")
SECTOR = 512
CHUNK = 4 * 1024 * 1024
# <linux/fs.h>: reads the partition table again; drops what is cached.
BLKRRPART, BLKFLSBUF = 0x125F, 0x1261


@dataclass
class Stick:
    """A whole disk, as sysfs describes it."""

    path: Path
    entry: Path  # /sys/class/block/NAME
    numbers: dict = field(default_factory=dict)  # "MAJOR:MINOR" to the name, of the disk and its partitions

    @property
    def size(self):
        return int(_attribute(self.entry, "size") or 0) * SECTOR

    @property
    def model(self):
        words = [_attribute(self.entry / "device", name) for name in ("vendor", "model")]
        return " ".join(filter(None, words)) or "unknown model"

    @property
    def removable(self):
        return _attribute(self.entry, "removable") == "1"

    @property
    def read_only(self):
        return _attribute(self.entry, "ro") == "1"

    def names(self):
        """Of the disk and its partitions."""
        return [self.entry.name, *(path.name for path in partitions(self.entry))]


def _attribute(folder, name):
    try:
        return (folder / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def partitions(entry):
    return sorted(path.parent for path in entry.glob("*/partition"))


def find(path, system=SYS):
    """The disk that the device file stands for; elsewhere than in /sys a file may stand in for a device (tests)."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise RigError(f"{path}: {error.strerror}") from None
    if not stat.S_ISBLK(status.st_mode) and not (system != SYS and stat.S_ISREG(status.st_mode)):
        raise RigError(f"{path} is not a block device")
    entry = system / "class/block" / Path(path).resolve().name
    if not entry.exists():
        raise RigError(f"{path}: no disk of this name is in {system}/class/block")
    if (entry / "partition").exists():
        raise RigError(f"{path} is a partition; name the whole disk, or the stick will not boot")
    stick = Stick(Path(path), entry)
    for folder in [entry, *partitions(entry)]:
        stick.numbers[_attribute(folder, "dev")] = folder.name
    return stick


def mounts(stick, proc=PROC):
    """[(partition, where)] of what is mounted, swapped to, or held by another device (LVM, RAID, encryption)."""
    found = []
    for line in (proc / "self/mountinfo").read_text(errors="replace").splitlines():
        words = line.split()
        # Some file systems have numbers of their own; they name the device behind the '-'.
        name = stick.numbers.get(words[2]) or Path(words[words.index("-") + 2]).name
        if name in stick.names():
            found.append((name, words[4]))
    for line in (proc / "swaps").read_text(errors="replace").splitlines()[1:]:
        name = Path(line.split()[0]).name
        if name in stick.names():
            found.append((name, "swap"))
    for folder in [stick.entry, *partitions(stick.entry)]:
        found += [(folder.name, f"held by {holder.name}") for holder in sorted(folder.glob("holders/*"))]
    return found


def refuse(stick, image_size, force, proc=PROC):
    """Raises for what nobody wants to overwrite; force: yes, a disk that is in use or built in."""
    used = mounts(stick, proc)
    if any(where == "/" for _, where in used):
        raise RigError(f"{stick.path} holds the system that runs now")
    if stick.read_only:
        raise RigError(f"{stick.path} is write-protected")
    if stick.size < image_size:
        raise RigError(f"{stick.path} has {stick.size >> 20} MiB, but the image has {image_size >> 20} MiB")
    if force:
        return
    if used:
        places = ", ".join(f"{name} ({where})" for name, where in used)
        raise RigError(f"{stick.path} is in use: {places}; unmount it first, or say FORCE=1 (--force)")
    if not stick.removable:
        raise RigError(f"{stick.path} ({stick.model}) is not a removable disk; if you mean it, say FORCE=1 (--force)")


def describe(stick):
    """What would be lost, as lines for the user."""
    yield f"{stick.path}: {stick.model}, {stick.size / 1e9:.1f} GB, {'removable' if stick.removable else 'NOT removable'}"
    parts = partitions(stick.entry)
    for folder in parts:
        size = int(_attribute(folder, "size") or 0) * SECTOR
        yield f"  {folder.name}: {size / 1e6:,.0f} MB {_content(stick.path.with_name(folder.name))}".rstrip()
    if not parts:
        yield f"  no partitions; {_content(stick.path) or 'nothing known on it'}"


def _content(device):
    """File system and label, if blkid may look and knows."""
    try:
        result = subprocess.run(["blkid", "-p", "-o", "export", device], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    found = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    return " ".join(filter(None, [found.get("TYPE"), found.get("LABEL") and f"'{found['LABEL']}'"]))


def write(image, stick, force, progress):
    """Writes the image; each chunk has reached the stick before it counts."""
    # The kernel gives a disk that is in use to nobody who asks for it alone.
    flags = os.O_WRONLY | (0 if force else os.O_EXCL)
    try:
        descriptor = os.open(stick.path, flags)
    except OSError as error:
        raise RigError(f"{stick.path}: {error.strerror}") from None
    with open(image, "rb") as source, os.fdopen(descriptor, "wb", buffering=0) as target:
        for chunk in chunks(source):
            view = memoryview(chunk)
            while view:
                view = view[target.write(view):]
            os.fdatasync(target.fileno())
            progress(len(chunk))


def verify(image, stick, progress):
    """Compares what is on the stick with the image, byte by byte."""
    with open(image, "rb") as source, open(stick.path, "rb", buffering=0) as target:
        forget_cache(target)
        offset = 0
        for chunk in chunks(source):
            there = read_exactly(target, len(chunk))
            if there != chunk:
                place = next((i for i, (a, b) in enumerate(zip(chunk, there)) if a != b), len(there))
                raise RigError(f"{stick.path} is bad: byte {offset + place} is not what was written there; use another stick")
            offset += len(chunk)
            progress(len(chunk))


def chunks(source):
    while chunk := source.read(CHUNK):
        yield chunk


def read_exactly(source, size):
    data = bytearray()
    while len(data) < size and (piece := source.read(size - len(data))):
        data += piece
    return bytes(data)


def forget_cache(target):
    """So that the medium is read and not the memory that holds what was written."""
    os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if stat.S_ISBLK(os.fstat(target.fileno()).st_mode):
        fcntl.ioctl(target, BLKFLSBUF)


def read_partitions_again(stick):
    try:
        with open(stick.path, "rb") as device:
            fcntl.ioctl(device, BLKRRPART)
    except OSError:
        pass  # only for convenience: the kernel does it when the stick is plugged in again


class Progress:
    """How far it is: one line that changes on a terminal, else a line now and then."""

    def __init__(self, what, total, out):
        self.what, self.total, self.out = what, total, out
        self.done = self.told = 0
        self.start = time.monotonic()

    def __call__(self, size):
        self.done += size
        percent = 100 * self.done // self.total
        end = self.done >= self.total
        if not end and not self.out.isatty() and percent < self.told + 10:
            return
        self.told = percent
        rate = self.done / max(time.monotonic() - self.start, 1e-3) / 1e6
        line = f"usb: {self.what}: {self.done >> 20} of {self.total >> 20} MiB ({percent}%), {rate:.1f} MB/s"
        self.out.write(f"\r{line}\x1b[K" + ("\n" if end else "") if self.out.isatty() else line + "\n")
        self.out.flush()

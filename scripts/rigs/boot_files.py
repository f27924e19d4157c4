"""What belongs on a boot medium: configurations and the files that they name."""

import filecmp
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .common import TOP, RigError

MAIN = "trivet.conf"
FILE_KEYS = ("kernel", "ramdisk", "firmware")
CHECKER = TOP / "build" / "trivet-check"


@dataclass(frozen=True)
class BootFile:
    """One file: where it is here, and its path below trivet/ on the medium."""

    source: Path
    name: str


@dataclass(frozen=True)
class Reference:
    """A path named by a configuration."""

    path: str
    key: str
    line: int


def collect(conf, search, efi, elf, force, extra=()):
    """Gives (loader, hypervisor, [configurations and named files]); force: without checks."""
    loader = _built(efi, force)
    hypervisor = _built(elf, force)
    if conf is None:
        return loader, hypervisor, []
    files = {}
    for source, name in [(conf, MAIN), *((path, path.name) for path in extra)]:
        _add_configuration(files, source, name, search, force)
    return loader, hypervisor, list(files.values())


def _add_configuration(files, conf, name, search, force):
    if not conf.is_file():
        raise RigError(f"{conf}: no such configuration file")
    # What loaders take for a configuration: see boot_path_is_configuration() of boot/boot_info_build.h.
    if not name.endswith(".conf") or name.startswith("."):
        raise RigError(f"{conf}: one more configuration must be named NAME.conf, or it would not be loaded")
    if name in files:
        raise RigError(f"{conf}: {name} is on the medium already; give this one another name")
    if not force:
        _run_checker(conf, search)
    files[name] = BootFile(conf, name)
    for reference in references(conf):
        found = _find(conf, reference, search, force)
        if found:
            _add_file(files, found, f"{conf}:{reference.line}")


def _add_file(files, file, where):
    """What two configurations name by one path is stored once, so it must be the same."""
    there = files.setdefault(file.name, file)
    if there.source.samefile(file.source) or filecmp.cmp(there.source, file.source, shallow=False):
        return
    raise RigError(f"{where}: '{file.name}' is {file.source} here and {there.source} before; one path can hold only one file")


def references(conf):
    """The files that the [vm] sections of a configuration name, in its order."""
    in_vm = False
    for number, line in enumerate(conf.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if text.startswith("["):
            in_vm = re.match(r"\[\s*vm\s", text) is not None
            continue
        key, separator, value = (part.strip() for part in text.partition("="))
        if not (in_vm and separator):
            continue
        path = _path_of(key, value)
        if path:
            yield Reference(path, key, number)


def _path_of(key, value):
    if key in FILE_KEYS:
        return value
    if key == "disk" and value.startswith("ram:"):
        return value[len("ram:"):].split(",")[0].strip()
    return None


def _find(conf, reference, search, force):
    where = f"{conf}:{reference.line}"
    name = PurePosixPath(reference.path)
    if name.is_absolute() or ".." in name.parts:
        if force:
            return None
        raise RigError(f"{where}: {reference.key}: '{reference.path}' must be a path below the configuration's folder")
    for folder in [conf.parent, *search]:
        candidate = folder / name
        if candidate.is_file():
            return BootFile(candidate, str(name))
    if force:
        return None
    folders = ", ".join(str(folder) for folder in [conf.parent, *search])
    raise RigError(f"{where}: {reference.key}: '{reference.path}' was not found (looked in {folders})")


def _built(path, force):
    if path.is_file():
        return path
    if force:
        return None
    raise RigError(f"{path} is missing; run make first")


def _run_checker(conf, search):
    # The parser of the hypervisor itself, built for this machine.
    if not CHECKER.exists():
        return
    folders = [word for folder in search for word in ("--files", folder)]
    result = subprocess.run([CHECKER, *folders, conf], stdin=subprocess.DEVNULL, check=False)
    if result.returncode != 0:
        raise RigError(f"{conf}: the configuration has errors; no image was made")


def add_arguments(parser, out):
    """The options that mkimage and mkiso share."""
    parser.add_argument("conf", metavar="CONF", type=Path, nargs="?",
                        help="the configuration; optional with --force")
    parser.add_argument("out", metavar="OUT", type=Path, help=out)
    parser.add_argument("--extra", action="append", default=[], type=Path, metavar="CONF",
                        help="one more configuration, of which the shell's create makes VMs; stored under its own name (repeatable)")
    parser.add_argument("--files", action="append", default=[], type=Path, metavar="DIR",
                        help="look here too for the files that CONF names (repeatable)")
    parser.add_argument("--efi", type=Path, default=TOP / "build/BOOTX64.EFI", metavar="FILE",
                        help="the loader (default: build/BOOTX64.EFI)")
    parser.add_argument("--elf", type=Path, default=TOP / "build/trivet.elf", metavar="FILE",
                        help="the hypervisor (default: build/trivet.elf)")
    parser.add_argument("--force", action="store_true",
                        help="check nothing and leave out what is missing: for tests of broken media")


def parse(parser):
    arguments = parser.parse_args()
    if arguments.conf is None and not arguments.force:
        parser.error("a configuration is needed (CONF), or --force")
    return arguments

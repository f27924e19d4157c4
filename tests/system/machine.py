"""One machine on a rig with Trivet on it: what a user at the serial console would do, for tests."""

import re
import subprocess
import time
from pathlib import Path

import pexpect

TOP = Path(__file__).resolve().parents[2]
SCRIPTS = TOP / "scripts"
BUILD = TOP / "build"
GUESTS = BUILD / "guests"
TEST_GUESTS = BUILD / "guests-test"

PROMPT = "trivet> "
UP = r"trivet \d+\.\d+\.\d+: up, (\d+) CPUs, (\d+) MiB"
GUEST_SHELL = r"guest:\S*# "
DETACH = "\x1d"
TAIL_LINES = 70
# Bochs's processors with VMX and with SVM.
PROCESSORS = ("corei7_skylake_x", "ryzen")
HOST_SECTION = "[host]\nversion = 1\nconsole = serial:com1,115200\n"

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


def plain(text):
    """What stays on the screen's lines: without control sequences and carriage returns."""
    text = CONTROL_SEQUENCE.sub("", text)
    text = re.sub(r"trivet> [^\r\n]*\r(?!\r*\n)", "", text)  # a prompt that made room for a line of the log
    return re.sub(r"\r+\n", "\n", text).replace("\r", "\n")


def make_medium(folder, configuration, files=(), iso=False, force=False, name="trivet"):
    """Makes an image of a configuration; files: {path on the medium: source}. Gives the image's path."""
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / f"{name}.conf"
    if configuration is not None:
        conf.write_text(configuration)
    for path, source in dict(files).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.write_bytes(source if isinstance(source, bytes) else Path(source).read_bytes())
    image = folder / f"{name}.{'iso' if iso else 'img'}"
    words = [SCRIPTS / ("mkiso" if iso else "mkimage"), *(["--force"] if force else []), "--files", BUILD,
             *([conf] if configuration is not None else []), image]
    made = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return image


def vm_section(name, guest, memory="4M", **settings):
    """The section of a VM that runs a program of tests/guests; settings: further lines of it."""
    rows = {"memory": memory, "boot": "multiboot", "kernel": f"guests/{guest}.elf", "testdev": "yes", **settings}
    return f"[vm {name}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())


def guest_files(*guests):
    """What make_medium() needs of these programs of tests/guests."""
    return {f"guests/{guest}.elf": TEST_GUESTS / f"{guest}.elf" for guest in guests}


def driver_files():
    """What make_medium() needs of Debian's full kernel with drivers, in the places of the small one."""
    subprocess.run([SCRIPTS / "guest_files", "--drivers"], check=True)
    return {f"guests/{name}": GUESTS / "drivers" / name for name in ("vmlinuz", "initrd.img")}


class Machine:
    """scripts/emu with an image; every wait has a limit, and a failed one shows the console's last lines."""

    def __init__(self, image, *options, rig="bochs", limit=400):
        if rig == "qemu-next":
            subprocess.run([SCRIPTS / "fetch_rig", "qemu"], check=True)
        words = ["--rig", rig, "--timeout", str(limit), "--no-escape", *[str(option) for option in options], str(image)]
        self.text = ""
        self.limit = limit
        self.child = pexpect.spawn(str(SCRIPTS / "emu"), words, timeout=limit, encoding="utf-8", codec_errors="replace",
                                   dimensions=(50, 200))
        self.child.delaybeforesend = None
        self.child.logfile_read = self

    # pexpect writes all output here.
    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.close(force=True)

    def tail(self, lines=TAIL_LINES):
        return "\n".join(line for line in plain(self.text).splitlines()[-lines * 2:] if line.strip())

    def expect(self, pattern, timeout=120):
        """Waits for a regular expression; gives the match."""
        try:
            self.child.expect(pattern, timeout=timeout)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            what = "was not seen in time" if isinstance(error, pexpect.TIMEOUT) else "was not seen before the machine ended"
            raise AssertionError(f"{pattern!r} {what}; the console's end:\n{self.tail()}") from None
        return self.child.match

    def wait_up(self, timeout=120):
        """Waits for the shell; gives (CPUs, MiB)."""
        match = self.expect(UP, timeout)
        return int(match[1]), int(match[2])

    def send(self, keys):
        self.child.send(keys)

    def command(self, line, timeout=30):
        """Types a shell command; gives what it printed, up to the next prompt."""
        mark = len(self.text)
        marker = f"help nothing-{mark}"
        self.send(f"{line}\r{marker}\r")
        self.expect(re.escape(marker) + r"[\s\S]*?" + re.escape(f"nothing-{mark}") + r"[^\n]*\n", timeout)
        return plain(self.text[mark:]).split(marker)[0]

    def wait_stopped(self, name, timeout=120):
        """Waits for a VM's end; gives its reason, without the parentheses."""
        line = re.compile(rf"\[ *\d+\.\d+\] info: vm {re.escape(name)}: stopped \((.*)\)")
        deadline = time.monotonic() + timeout
        while True:
            found = [match for match in map(line.fullmatch, plain(self.text).splitlines()) if match]
            if found:
                return found[0][1]
            self.expect(r"vm \S+: stopped \([^\n]*\)\r?\n", max(1, deadline - time.monotonic()))

    def vm_state(self, name):
        """A VM's state as `list` says it."""
        return re.search(rf"^{name} +\S+ +\d+ +\d+  (\S.*?) {{2,}}\S+$", self.command("list"), re.M)[1]

    def wait_off(self, name, timeout=60):
        """Waits until a VM that has stopped has given everything back; gives its state."""
        deadline = time.monotonic() + timeout
        while not self.vm_state(name).startswith("off ("):
            assert time.monotonic() < deadline, self.tail()
        return self.vm_state(name)

    def wait_end(self, timeout=30):
        """Waits until scripts/emu ends; gives its exit status."""
        self.child.expect(pexpect.EOF, timeout=timeout)
        self.child.close()
        return self.child.exitstatus

    def count(self, pattern):
        """How often a line of the console so far matches the regular expression as a whole."""
        return sum(1 for line in self.lines() if re.fullmatch(pattern, line))

    def power_off(self, timeout=60):
        self.send("poweroff\r")
        assert self.wait_end(timeout) == 0, self.tail()

    def lines(self):
        return plain(self.text).splitlines()

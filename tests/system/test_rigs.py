"""Self tests of the rigs and of the image makers; they need no hypervisor."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

TOP = Path(__file__).resolve().parents[2]
SCRIPTS = TOP / "scripts"
PROGRAMS = TOP / "tests" / "rigs"
GUESTS = TOP / "build" / "guests"

sys.path.insert(0, str(SCRIPTS))
from rigs import boot_files, disk, session  # noqa: E402


def run(*command, **options):
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=200, check=False, **options)


def emu(*arguments):
    return run(SCRIPTS / "emu", *arguments)


@pytest.fixture(scope="module")
def program_image(tmp_path_factory):
    """Gives a function that makes a disk image of one program of tests/rigs."""
    folder = tmp_path_factory.mktemp("rigs")

    def make(name):
        image = folder / f"{name}.img"
        if not image.exists():
            efi = folder / f"{name}.efi"
            subprocess.run([PROGRAMS / "build_efi", PROGRAMS / f"{name}.c", efi], check=True)
            subprocess.run([SCRIPTS / "mkimage", "--force", "--efi", efi, "--elf", folder / "none", image], check=True)
        return image

    return make


# -- the machines -----------------------------------------------------------

@pytest.mark.parametrize("rig", ["bochs", "qemu"])
def test_division_is_right(program_image, rig):
    result = emu("--rig", rig, "--timeout", 120, program_image("idiv"))
    assert "rig-test: idiv right" in result.stdout
    assert (result.returncode, result.stderr) == (0, "emu: powered off\n")


def test_division_is_right_on_two_bochs_at_once(program_image):
    image = program_image("idiv")
    both = [subprocess.Popen([SCRIPTS / "emu", "--rig", "bochs", "--timeout", "120", image],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=150)
        assert b"rig-test: idiv right" in output
        assert process.returncode == 0


def test_bochs_needs_no_display_port_of_its_usual_range(program_image):
    """Two that start at once would both choose the same, and one of them would end."""
    taken = []
    for port in range(5900, 5950):
        try:
            taken.append(socket.create_server(("", port)))
        except OSError:
            pass  # somebody else has it, which is as good
    try:
        result = emu("--rig", "bochs", "--timeout", 120, program_image("idiv"))
    finally:
        for server in taken:
            server.close()
    assert result.returncode == 0, result.stderr


def test_bochs_is_the_one_that_the_fixes_were_made_for(program_image):
    """Where one does not fit, guests on several processors fail rarely, and not by their own fault."""
    command = emu("--rig", "bochs", "--dry-run", program_image("echo")).stdout.split()[1:]
    program = next(i for i, word in enumerate(command) if word.endswith("bochs-bin"))
    result = run(*command[:program + 1], "--help", env={"BOCHS_FIX_REPORT": "1"})
    assert [line for line in result.stderr.splitlines() if line.startswith("bochs_")] == [
        f"bochs_interrupt_fix: {fix}: mended"
        for fix in ("count of instructions", "interrupts after VM entry", "interrupts after VMRUN", "virtual interrupts")]


@pytest.mark.parametrize("rig", ["bochs", "qemu"])
def test_every_byte_reaches_the_machine(program_image, rig):
    image = program_image("echo")
    before = hashlib.sha256(image.read_bytes()).digest()
    child = pexpect.spawn(str(SCRIPTS / "emu"), ["--rig", rig, "--timeout", "120", str(image)], timeout=100)
    child.expect("rig-test: echo\r\n")
    for keys, seen in ((b"\x03", "03 "), (b"\x1d", "1d "), (b"\r", "0d "), (b"\n", "0a "), (b"\x04", "04 "),
                       (b"\x11\x13\x1a\x1c\x00", "11 13 1a 1c 00 "), (b"\xff\x80\x7f", "ff 80 7f "),
                       (b"\x01\x01", "01 "), (b"\x01b", "01 62 ")):
        child.send(keys)
        child.expect_exact(seen)
    child.send(b"\x01x")
    child.expect_exact("left with Ctrl-A x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert hashlib.sha256(image.read_bytes()).digest() == before


def type_into_echo(rig, image, keys):
    """Pipes keys in once the program listens; gives (exit status, what it echoed, errors)."""
    with subprocess.Popen([SCRIPTS / "emu", "--rig", rig, "--timeout", "100", image],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # The firmware takes what comes earlier as keys of its own.
        while b"rig-test: echo" not in process.stdout.readline():
            assert process.poll() is None
        output, errors = process.communicate(keys, timeout=120)
    return process.returncode, output, errors


def test_many_keys_at_once_lose_none(program_image):
    keys = b"0123456789" * 20 + b"q"
    status, output, _ = type_into_echo("bochs", program_image("echo"), keys)
    assert bytes(int(word, 16) for word in output.split()) == keys
    assert status == 0


def test_a_panic_is_status_1(program_image):
    status, output, errors = type_into_echo("qemu", program_image("echo"), b"p")
    assert b"trivet: panic: a rig test's" in output
    assert (status, errors) == (1, b"emu: Trivet panicked\n")


def test_a_guest_cannot_fake_a_panic():
    assert session.PANIC.search("[    1.000000] trivet: panic: page pool\n")
    assert session.PANIC.search("half a line trivet: panic: page pool\n")
    assert not session.PANIC.search("(linux) trivet: panic: no\n")
    assert not session.PANIC.search("\x1b[Ktrivet> \x1b[K(linux) trivet: panic: no\n")


@pytest.mark.parametrize("step", [1, 3, 100])
def test_firmware_does_not_clear_the_screen(step):
    text = b"a\x1b[2J\x1b[01;01H\x1b[=3hb\x1b[2Jc\x1b[6n\x1b[01;01Hd"
    keeper = session.ScreenKeeper()
    shown = b"".join(keeper.filter(text[i:i + step]) for i in range(0, len(text), step))
    assert shown == b"ab\x1b[2Jc\x1b[6n\x1b[01;01Hd"


def test_a_hang_is_status_1(program_image):
    result = emu("--rig", "qemu", "--timeout", 2, "--until", "never", program_image("echo"))
    assert result.returncode == 1
    assert "timeout" in result.stderr


def test_serial_goes_to_a_file_and_until_ends(program_image, tmp_path):
    console = tmp_path / "console.txt"
    result = emu("--rig", "qemu", "--timeout", 60, "--serial", console, "--until", "^rig-test: echo$", program_image("echo"))
    assert (result.returncode, result.stdout) == (0, "")
    assert "rig-test: echo" in console.read_text(errors="replace")


def test_a_killed_emu_leaves_no_emulator(program_image):
    process = subprocess.Popen([SCRIPTS / "emu", "--rig", "qemu", program_image("echo")],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    child = wait_for(lambda: children.read_text().split())[0]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_for(lambda: is_gone(child))


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, seconds=10):
    for _ in range(seconds * 20):
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("arguments", [
    [], ["--rig", "none", "x.img"], ["missing.img"], ["--until", "(", os.devnull], ["--cpus", "0", os.devnull],
    ["--memory", "much", os.devnull], [os.devnull], ["--rig", "bochs", "--as", "usb", __file__],
])
def test_bad_use_is_status_2(arguments):
    result = emu(*arguments)
    assert result.returncode == 2
    assert result.stderr != "" and "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments, mirror, words", [
    ([], "", "usage"), (["vax"], "", "no rig is called 'vax'; there are bochs and qemu"),
    (["--force", "qemu"], "http://127.0.0.1:9/debian", "the newer QEMU could not be fetched from Debian's suite"),
])
def test_a_rig_that_cannot_be_fetched_says_why(arguments, mirror, words):
    result = subprocess.run([SCRIPTS / "fetch_rig", *arguments], env={**os.environ, "TRIVET_DEBIAN_MIRROR": mirror}, capture_output=True,
                            text=True, check=False)
    assert result.returncode == 1
    assert words in result.stderr


def test_a_legacy_bios_is_told_why_the_disk_does_not_boot():
    record = disk.boot_record(disk.SMALLEST)
    assert len(record) == 512 and record[510:] == b"\x55\xaa"
    assert record[0x20:].startswith(b"This Trivet disk boots by UEFI only")


# -- guest files ------------------------------------------------------------

def press_power_button(monitor):
    """QEMU's: what the guest sees is ACPI's fixed power button."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(monitor))
        connection.sendall(b"system_powerdown\n")
        time.sleep(0.5)


def test_guest_files_boot_natively_to_a_shell(tmp_path):
    """Debian's kernel and our initramfs are sound before Trivet enters."""
    subprocess.run([SCRIPTS / "guest_files"], check=True)
    tree = tmp_path / "iso"
    (tree / "boot/grub").mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (tree / name).write_bytes((GUESTS / name).read_bytes())
    # Linux counts instructions until the timer must have come, which says nothing where others use the host's processors too.
    (tree / "boot/grub/grub.cfg").write_text(
        "set timeout=0\nmenuentry l {\n linux /vmlinuz console=ttyS0 quiet no_timer_check\n initrd /initrd.img\n}\n")
    iso = tmp_path / "linux.iso"
    assert run("grub-mkrescue", "-o", iso, tree).returncode == 0
    monitor = tmp_path / "monitor"
    child = pexpect.spawn(str(SCRIPTS / "emu"), ["--rig", "qemu", "--cpus", "2", "--timeout", "120", "--extra",
                                                 f"-monitor unix:{monitor},server=on,wait=off", str(iso)], timeout=100)
    child.expect("trivet-guest: init reached")
    child.expect("# ")
    child.send("sleep 1000\r")
    time.sleep(0.5)
    child.send("\x03")
    child.expect("# ")
    child.send("echo $((6 * 7)) $(tty)\r")
    child.expect("42 /dev/ttyS0")
    child.send("echo $(nproc) on $(taskset 2 nproc)\r")
    child.expect("2 on 1")
    press_power_button(monitor)
    child.expect("emu: powered off")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


# -- images -----------------------------------------------------------------

CONF = """\
[host]
version = 1     # kernel = not-this
[vm one]
kernel = guests/a   # the kernel
ramdisk = guests/b
disk = ram:guests/c.img,ro
disk = nvme:x
cmdline = kernel=no root=#1
# firmware = guests/d
"""


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "my.conf"
    path.write_text(CONF)
    return path


def fake_build(tmp_path):
    for name in ("loader", "elf"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    return ["--efi", tmp_path / "loader", "--elf", tmp_path / "elf"]


def test_references_of_a_configuration(conf):
    found = [(r.key, r.path, r.line) for r in boot_files.references(conf)]
    assert found == [("kernel", "guests/a", 4), ("ramdisk", "guests/b", 5), ("disk", "guests/c.img", 6)]


@pytest.fixture
def no_checker(monkeypatch, tmp_path):
    monkeypatch.setattr(boot_files, "CHECKER", tmp_path / "none")


def test_missing_file_names_file_and_line(conf, tmp_path, no_checker):
    (tmp_path / "guests").mkdir()
    (tmp_path / "guests/a").write_text("a")
    with pytest.raises(boot_files.RigError, match=r"my\.conf:5: ramdisk: 'guests/b' was not found"):
        boot_files.collect(conf, [], conf, conf, force=False)


@pytest.mark.parametrize("path", ["/etc/passwd", "../b", "guests/../../b"])
def test_a_path_may_not_leave_the_folder(tmp_path, no_checker, path):
    conf = tmp_path / "bad.conf"
    conf.write_text(f"[vm x]\nkernel = {path}\n")
    with pytest.raises(boot_files.RigError, match=r"bad\.conf:2: kernel:"):
        boot_files.collect(conf, [], conf, conf, force=False)


def test_image_holds_all_files(conf, tmp_path):
    beside, extra = tmp_path / "guests", tmp_path / "else/guests"
    for folder, names in ((beside, "ab"), (extra, ["c.img"])):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_bytes(os.urandom(70000))
    image = tmp_path / "disk.img"
    result = run(SCRIPTS / "mkimage", "--force", "--files", tmp_path / "else", *fake_build(tmp_path), conf, image)
    assert result.returncode == 0, result.stderr
    wanted = {"EFI/BOOT/BOOTX64.EFI": tmp_path / "loader", "trivet/trivet.elf": tmp_path / "elf", "trivet/trivet.conf": conf,
              "trivet/guests/a": beside / "a", "trivet/guests/b": beside / "b", "trivet/guests/c.img": extra / "c.img"}
    for name, source in wanted.items():
        content = subprocess.run(["mtype", "-i", f"{image}@@1M", f"::{name}"], capture_output=True, check=True).stdout
        assert content == source.read_bytes(), name


def test_iso_holds_all_files_and_boots_them_as_modules(conf, tmp_path):
    (tmp_path / "guests").mkdir()
    for name in ("a", "b", "c.img"):
        (tmp_path / "guests" / name).write_text(name)
    iso = tmp_path / "trivet.iso"
    result = run(SCRIPTS / "mkiso", "--force", *fake_build(tmp_path), conf, iso)
    assert result.returncode == 0, result.stderr
    out = tmp_path / "out"
    assert run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", out).returncode == 0
    config = (out / "boot/grub/grub.cfg").read_text()
    assert "multiboot2 /trivet/trivet.elf\n" in config
    for name in ("trivet.conf", "guests/a", "guests/b", "guests/c.img"):
        assert f"module2 '/trivet/{name}' '{name}'\n" in config
        assert (out / "trivet" / name).exists()


@pytest.mark.parametrize("example", sorted((TOP / "examples").glob("*.conf")), ids=lambda path: path.name)
def test_an_example_is_sound(example):
    checker = run(TOP / "build/trivet-check", "--files", TOP / "build", example)
    assert (checker.returncode, checker.stderr) == (0, "")


def test_faults_are_told_with_their_place(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("[host]\nsched = credit\n[vm a]\nmemory = 4M\nkernel = k\nsched = rt budget=2ms preiod=10ms\n")
    checker = run(TOP / "build/trivet-check", "--no-files", conf)
    assert checker.returncode == 1
    assert re.fullmatch(rf"{re.escape(str(conf))}:6:23: unknown setting .*expected budget=TIME and period=TIME.*"
                        r"did you mean 'period'\?\n", checker.stderr), checker.stderr


def test_more_configurations_are_stored_with_their_files(conf, tmp_path, no_checker):
    """What two of them name is stored once; they lie beside trivet.conf, where the loaders look."""
    (tmp_path / "guests").mkdir()
    for name in ("a", "b", "c.img", "d"):
        (tmp_path / "guests" / name).write_text(name)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "guests").mkdir(parents=True)
    (elsewhere / "guests/a").write_text("a")
    more = elsewhere / "more.conf"
    more.write_text("[vm two]\nkernel = guests/a\nramdisk = guests/d\n")
    _, _, files = boot_files.collect(conf, [tmp_path], conf, conf, force=False, extra=[more])
    assert [(file.name, file.source) for file in files] == [
        ("trivet.conf", conf), ("guests/a", tmp_path / "guests/a"), ("guests/b", tmp_path / "guests/b"),
        ("guests/c.img", tmp_path / "guests/c.img"), ("more.conf", more), ("guests/d", tmp_path / "guests/d")]
    (elsewhere / "guests/a").write_text("another")
    with pytest.raises(boot_files.RigError, match=r"more\.conf:2: 'guests/a' is .* one path can hold only one file"):
        boot_files.collect(conf, [tmp_path], conf, conf, force=False, extra=[more])


@pytest.mark.parametrize("name, problem", [
    ("more.ini", "must be named NAME.conf"), (".more.conf", "must be named NAME.conf"),
    ("trivet.conf", "on the medium already"), ("none.conf", "no such configuration"),
])
def test_a_configuration_that_would_not_be_found_is_refused(tmp_path, no_checker, name, problem):
    conf = tmp_path / "my.conf"
    conf.write_text("[host]\nversion = 1\n")
    if name != "none.conf":
        (tmp_path / name).write_text("")
    with pytest.raises(boot_files.RigError, match=problem):
        boot_files.collect(conf, [], conf, conf, force=False, extra=[tmp_path / name])


@pytest.mark.parametrize("rig", ["bochs-bios", "qemu"])
def test_iso_boots_by_multiboot2(conf, tmp_path, rig):
    """On legacy BIOS and on UEFI GRUB loads the modules, each named by its path."""
    (tmp_path / "guests").mkdir()
    for name in ("a", "b", "c.img"):
        (tmp_path / "guests" / name).write_text(name)
    kernel, elf, iso = tmp_path / "modules.o", tmp_path / "modules.elf", tmp_path / "modules.iso"
    subprocess.run(["nasm", "-f", "elf32", "-o", kernel, PROGRAMS / "modules.asm"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x400000", "-o", elf, kernel], check=True)
    assert run(SCRIPTS / "mkiso", "--force", "--elf", elf, conf, iso).returncode == 0
    result = emu("--rig", rig, "--timeout", 60, "--until", "rig-test: modules done", iso)
    seen = [line.split()[-1] for line in result.stdout.splitlines() if "rig-test: module " in line]
    assert seen == ["trivet.conf", "guests/a", "guests/b", "guests/c.img"]
    assert result.returncode == 0

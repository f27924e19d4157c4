"""Bochs 3.1 as fetched by scripts/fetch_rig: VMX and EPT without Intel hardware."""

import os
import re
import tty

from .common import RIGS_DIR, Ending, RigError, fetched_program, find_ovmf

DEFAULT_MODEL = "corei7_skylake_x"

# What Bochs writes to its log when the guest ended the machine on purpose.
POWER_OFF = re.compile(r"ACPI control: soft power off|Shutdown port: shutdown requested", re.I)
PANIC = re.compile(r">>PANIC<<.*|^\d+\w\[.*(?:shutdown|triple fault).*", re.M)

# The UART model loses bytes that arrive faster than the guest drains its
# 16-byte FIFO; 2 ms of wall time are far more than a byte's emulated time.
SECONDS_PER_INPUT_BYTE = 0.002


class Bochs:
    """Builds the command line of one Bochs and explains its end."""

    input_pause = SECONDS_PER_INPUT_BYTE

    def __init__(self, machine, work_dir, bios):
        self.machine = machine
        self.work_dir = work_dir
        self.bios = bios
        self.root = RIGS_DIR / "bochs"
        self.share = self.root / "usr/share/bochs"
        self.log = work_dir / "bochs.log"
        self.slave_fd = -1

    def open_serial(self):
        """Gives the descriptor on our side of the machine's COM1."""
        master, self.slave_fd = os.openpty()
        # We keep the slave open: a pty whose last user left reads as an error.
        tty.setraw(self.slave_fd)
        return master

    def command(self):
        program = fetched_program("bochs", "bochs-bin", "--preload", str(RIGS_DIR / "bochs_fixes.so"))
        if self.machine.medium == "usb":
            raise RigError("--as usb works on the QEMU rigs only")
        config = self.work_dir / "bochsrc"
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        return [*program, "-q", "-f", str(config)]

    def environment(self):
        return {
            "LTDL_LIBRARY_PATH": str(self.root / "usr/lib/x86_64-linux-gnu/bochs/plugins"),
            "BXSHARE": str(self.share),
        }

    def child_stdio(self):
        return None

    def started(self):
        pass

    def stop(self):
        os.close(self.slave_fd)

    def screenshot(self, path):
        raise RigError("--screenshot works on the QEMU rigs only")

    def ending(self, status):
        try:
            log = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            log = ""
        if POWER_OFF.search(log):
            return Ending(True, "powered off")
        panics = PANIC.findall(log)
        reason = panics[-1].strip() if panics else f"exit status {status}"
        return Ending(False, f"Bochs ended by itself: {reason}")

    def _config(self):
        m = self.machine
        model = m.model or DEFAULT_MODEL
        yield 'display_library: rfb, options="timeout=0"'
        yield f"memory: guest={m.memory_mib}, host={m.memory_mib}, block_size=512"
        if self.bios:
            yield f"romimage: file={self.share}/BIOS-bochs-latest, options=fastboot"
        else:
            yield f"romimage: file={find_ovmf()}, options=none"
            yield "fw_cfg: enabled=1"
        yield f"vgaromimage: file={self.share}/VGABIOS-lgpl-latest"
        yield (f"cpu: model={model}, count={m.cpus}, ips={m.ips}, cpuid_freq=none, "
               "reset_on_triple_fault=0, ignore_bad_msrs=1")
        yield from self._disks()
        yield f"com1: enabled=1, mode=term, dev={os.ttyname(self.slave_fd)}"
        yield "pci: enabled=1, chipset=i440fx"
        yield "clock: sync=none"
        yield "port_e9_hack: enabled=1"
        yield "speaker: enabled=0"
        yield f"log: {self.log}"
        # With APICv every virtual interrupt would be a line of the log.
        ignored = ", ".join(f"cpu{n}=ignore" for n in range(m.cpus))
        yield f"info: action=report, {ignored}"
        yield "panic: action=fatal"
        yield from m.extra

    def _disks(self):
        m = self.machine
        if m.medium == "cdrom":
            yield f"ata0-master: type=cdrom, path={m.image.resolve()}, status=inserted"
            yield "boot: cdrom"
        else:
            # volatile: the image stays as it is, writes go to the journal.
            journal = self.work_dir / "disk0"
            yield (f"ata0-master: type=disk, path={m.image.resolve()}, mode=volatile, "
                   f"journal={journal}")
            yield "boot: disk"

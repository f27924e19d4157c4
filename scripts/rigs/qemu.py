"""QEMU q35 with OVMF: under TCG (VT-d, PCIe, no VMX) or under KVM with nested VMX."""

import json
import os
import shlex
import shutil
import socket

from .common import RIGS_DIR, Ending, RigError, fetched_program, find_ovmf

PROGRAM = "qemu-system-x86_64"
NEXT = RIGS_DIR / "qemu"
NEXT_DATA = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")


def nested_vmx_available():
    """True where KVM can be opened and offers VMX to its guests."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
            if not any(line.startswith("flags") and " vmx " in line + " " for line in info):
                return False
        with open("/sys/module/kvm_intel/parameters/nested", encoding="ascii") as nested:
            return nested.read().strip() in ("Y", "1")
    except OSError:
        return False


class Qemu:
    """Builds the command line of one QEMU and explains its end."""

    input_pause = 0.0
    iommu_options = ""

    def __init__(self, machine, work_dir, kvm=False):
        self.machine = machine
        self.work_dir = work_dir
        self.kvm = kvm
        self.log = work_dir / "qemu.log"
        self.child_end = None
        self.qmp = None
        self.qmp_text = b""

    def open_serial(self):
        ours, self.child_end = socket.socketpair()
        return ours.detach()

    def child_stdio(self):
        return self.child_end.fileno()

    def environment(self):
        return {"TMPDIR": str(self.work_dir)}  # where snapshot=on writes

    def _program(self):
        if shutil.which(PROGRAM) is None:
            raise RigError("QEMU is not installed (package qemu-system-x86); run scripts/setup")
        if self.kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            raise RigError("/dev/kvm cannot be opened: no KVM here, or not your group")
        return [PROGRAM]

    def _firmware(self):
        return find_ovmf()

    def command(self):
        m = self.machine
        accel = "kvm" if self.kvm else "tcg"
        words = [
            *self._program(), "-machine", f"q35,accel={accel},kernel-irqchip=split",
            "-cpu", m.model or ("host" if self.kvm else "max"),
            "-smp", str(m.cpus), "-m", str(m.memory_mib),
            "-nodefaults", "-no-user-config", "-vga", "std", "-display", "none",
            "-serial", "stdio", "-qmp", f"unix:{self.work_dir}/qmp,server=on,wait=off",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            "-bios", self._firmware(),
            # Before the devices that it translates for.
            "-device", f"intel-iommu,intremap=on,caching-mode=off,aw-bits=48{self.iommu_options}",
            "-device", "edu,dma_mask=0xffffffffffff",
        ]
        words += self._disk()
        if m.no_reboot:
            words.append("-no-reboot")
        for text in m.extra:
            words += shlex.split(text)
        return words

    def _disk(self):
        file = str(self.machine.image.resolve()).replace(",", ",,")
        if self.machine.medium == "cdrom":
            return ["-drive", f"if=ide,media=cdrom,format=raw,readonly=on,file={file}"]
        if self.machine.medium == "usb":
            return ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,snapshot=on,file={file}",
                    "-device", "usb-storage,drive=stick,removable=on"]
        return ["-drive", f"if=ide,format=raw,snapshot=on,file={file}"]

    def started(self):
        self.child_end.close()

    def stop(self):
        if self.qmp is not None:
            self.qmp.close()

    def screenshot(self, path):
        """Writes the screen to a PPM file, by the QEMU machine protocol."""
        self.qmp = socket.socket(socket.AF_UNIX)
        self.qmp.settimeout(10)
        self.qmp.connect(str(self.work_dir / "qmp"))
        self._qmp_reply()
        self._qmp_ask("qmp_capabilities")
        self._qmp_ask("screendump", filename=os.path.abspath(path))

    def _qmp_ask(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.qmp.sendall(json.dumps(request).encode() + b"\n")
        while True:
            reply = self._qmp_reply()
            if "error" in reply:
                raise RigError(f"QEMU refused {command}: {reply['error'].get('desc')}")
            if "return" in reply:
                return

    def _qmp_reply(self):
        while b"\n" not in self.qmp_text:
            data = self.qmp.recv(65536)
            if not data:
                raise RigError("QEMU closed its control socket")
            self.qmp_text += data
        line, self.qmp_text = self.qmp_text.split(b"\n", 1)
        return json.loads(line)

    def ending(self, status):
        if status == 0:
            return Ending(True, "powered off")
        complaint = self._complaint()
        # isa-debug-exit: writing v ends QEMU with (v << 1) | 1.
        if status > 0 and status & 1 and not complaint:
            code = status >> 1
            return Ending(code == 0, f"ended by isa-debug-exit with code {code}")
        return Ending(False, f"QEMU ended with status {status}: {complaint}")

    def _complaint(self):
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        errors = [line for line in lines if line.startswith(PROGRAM) and "warning" not in line]
        return errors[-1] if errors else ""


class QemuNext(Qemu):
    """A newer QEMU, as fetched by scripts/fetch_rig, with the OVMF that came with it: x2APIC, and SR-IOV network cards."""

    iommu_options = ",eim=on"

    def environment(self):
        return {**super().environment(), "QEMU_MODULE_DIR": str(NEXT / "usr/lib/x86_64-linux-gnu/qemu")}

    def _program(self):
        words = fetched_program("qemu", PROGRAM)
        for folder in NEXT_DATA:
            words += ["-L", str(NEXT / folder)]
        return words

    def _firmware(self):
        return str(NEXT / "usr/share/ovmf/OVMF.fd")

#include "arch/x86/cpu/machine_check.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/msr.h"
#include "lib/bits.h"

#define MCG_CAP_BANKS BITS(7, 0)
#define MCG_CAP_CONTROL BIT(8)
#define MCG_STATUS_RIPV BIT(0)
#define BANK_MSRS 4u
#define BANK_STATUS 1u
#define BANK_ADDRESS 2u
#define BANK_MISC 3u
#define BANK_MAX 32u
#define STATUS_VALID BIT(63)
#define STATUS_OVERFLOW BIT(62)
#define STATUS_UNCORRECTED BIT(61)
#define STATUS_MISC_VALID BIT(59)
#define STATUS_ADDRESS_VALID BIT(58)
#define STATUS_CONTEXT_CORRUPT BIT(57)

/* "Interpreting Machine Check Error Codes": the first that fits. Bit 12 (correction report filtering) never matters. */
static const struct { uint16_t mask, value; const char *name; } codes[] = {
	{0xffff, 0x0002, "microcode parity"},
	{0xffff, 0x0003, "external"},
	{0xffff, 0x0005, "internal parity"},
	{0xffff, 0x0400, "internal timer"},
	{0xfc00, 0x0400, "internal"},
	{0xffff, 0x0e0b, "I/O"},
	{0xeffc, 0x000c, "cache hierarchy"},
	{0xeff0, 0x0010, "TLB"},
	{0xef80, 0x0080, "memory controller"},
	{0xef00, 0x0100, "cache hierarchy"},
	{0xef80, 0x0280, "memory controller"},
	{0xe800, 0x0800, "bus and interconnect"},
};

static bool (*host_handler)(void);

static uint32_t bank_msr(unsigned bank, unsigned which)
{
	return MSR_MC0_CTL + bank * BANK_MSRS + which;
}

static unsigned bank_count(void)
{
	if (!features_has(CPU_FEATURE_MCA))
		return 0;
	return (unsigned)min_u64(insn_rdmsr(MSR_MCG_CAP) & MCG_CAP_BANKS, BANK_MAX);
}

void machine_check_init(void)
{
	unsigned banks = bank_count();

	if (banks != 0 && insn_rdmsr(MSR_MCG_CAP) & MCG_CAP_CONTROL && !insn_wrmsr_safe(MSR_MCG_CTL, ~0ull))
		log_debug("MCG_CTL cannot be written");
	for (unsigned bank = 0; bank < banks; bank++)
		if (!insn_wrmsr_safe(bank_msr(bank, 0), ~0ull) || !insn_wrmsr_safe(bank_msr(bank, BANK_STATUS), 0))
			log_debug("machine-check bank %u cannot be written", bank);
}

void machine_check_clear(void)
{
	unsigned banks = bank_count();

	for (unsigned bank = 0; bank < banks; bank++)
		insn_wrmsr(bank_msr(bank, BANK_STATUS), 0);
	/* While "in progress" is set the next machine check would shut the CPU down. */
	if (banks != 0)
		insn_wrmsr(MSR_MCG_STATUS, 0);
}

const char *machine_check_code_name(uint16_t code)
{
	for (size_t i = 0; i < array_count(codes); i++)
		if ((code & codes[i].mask) == codes[i].value)
			return codes[i].name;
	return "unclassified";
}

static void read_bank(unsigned bank, struct machine_check *check)
{
	uint64_t status = insn_rdmsr(bank_msr(bank, BANK_STATUS));

	*check = (struct machine_check){.bank = bank, .status = status};
	check->found = (status & STATUS_VALID) && (status & STATUS_UNCORRECTED);
	check->corrupt = check->found && (status & (STATUS_CONTEXT_CORRUPT | STATUS_OVERFLOW));
	check->has_address = (status & STATUS_VALID) && (status & STATUS_ADDRESS_VALID);
	if (check->has_address)
		check->address = hpa(insn_rdmsr(bank_msr(bank, BANK_ADDRESS)));
	if ((status & STATUS_VALID) && (status & STATUS_MISC_VALID))
		check->misc = insn_rdmsr(bank_msr(bank, BANK_MISC));
}

void machine_check_examine(struct machine_check *worst)
{
	unsigned banks = bank_count();

	*worst = (struct machine_check){0};
	for (unsigned bank = 0; bank < banks; bank++) {
		struct machine_check check;

		read_bank(bank, &check);
		if (check.found && (!worst->found || check.corrupt > worst->corrupt))
			*worst = check;
	}
	worst->restartable = banks != 0 && (insn_rdmsr(MSR_MCG_STATUS) & MCG_STATUS_RIPV);
}

void machine_check_report(void)
{
	unsigned banks = bank_count();

	if (banks == 0)
		return;
	log_error("machine check: global status %#llx", (unsigned long long)insn_rdmsr(MSR_MCG_STATUS));
	for (unsigned bank = 0; bank < banks; bank++) {
		struct machine_check check;

		read_bank(bank, &check);
		if (check.status & STATUS_VALID)
			log_error("machine check: bank %u: %s, %s%s, status %#llx address %#llx misc %#llx", bank,
				  machine_check_code_name((uint16_t)check.status), check.found ? "not corrected" : "corrected",
				  check.corrupt ? ", CPU state lost" : "", (unsigned long long)check.status,
				  (unsigned long long)check.address.value, (unsigned long long)check.misc);
	}
}

void machine_check_set_handler(bool (*handler)(void))
{
	host_handler = handler;
}

bool machine_check_handle(void)
{
	return host_handler != NULL && host_handler();
}

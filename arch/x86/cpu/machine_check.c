#include "arch/x86/cpu/machine_check.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/msr.h"
#include "lib/bits.h"

#define MCG_CAP_BANKS BITS(7, 0)
#define MCG_CAP_CONTROL BIT(8)
#define BANK_MSRS 4u
#define BANK_STATUS 1u
#define BANK_ADDRESS 2u
#define BANK_MAX 32u
#define STATUS_VALID BIT(63)
#define STATUS_ADDRESS_VALID BIT(58)

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

void machine_check_report(void)
{
	unsigned banks = bank_count();

	if (banks == 0)
		return;
	log_error("machine check: global status %#llx", (unsigned long long)insn_rdmsr(MSR_MCG_STATUS));
	for (unsigned bank = 0; bank < banks; bank++) {
		uint64_t status = insn_rdmsr(bank_msr(bank, BANK_STATUS));
		uint64_t address = 0;

		if (!(status & STATUS_VALID))
			continue;
		if (status & STATUS_ADDRESS_VALID)
			address = insn_rdmsr(bank_msr(bank, BANK_ADDRESS));
		log_error("machine check: bank %u status %#llx address %#llx", bank, (unsigned long long)status,
			  (unsigned long long)address);
	}
}

/* Ends with exit code 21: the VM stops with `exit 43`. */
#include "runtime/guest.h"

const char guest_name[] = "exit_code";

void guest_main(void)
{
	guest_exit(21);
}

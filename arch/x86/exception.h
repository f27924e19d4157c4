/* Exception vectors, as both the host's handlers and the guests' injection use them. SDM Vol. 3A "Exception and
 * Interrupt Reference". */
#pragma once

#include "lib/types.h"

enum exception_vector {
	EXCEPTION_DE = 0, EXCEPTION_DB = 1, EXCEPTION_NMI = 2, EXCEPTION_BP = 3, EXCEPTION_OF = 4, EXCEPTION_BR = 5,
	EXCEPTION_UD = 6, EXCEPTION_NM = 7, EXCEPTION_DF = 8, EXCEPTION_TS = 10, EXCEPTION_NP = 11, EXCEPTION_SS = 12,
	EXCEPTION_GP = 13, EXCEPTION_PF = 14, EXCEPTION_MF = 16, EXCEPTION_AC = 17, EXCEPTION_MC = 18, EXCEPTION_XM = 19,
	EXCEPTION_VE = 20, EXCEPTION_CP = 21,
	EXCEPTION_COUNT = 32,
};

/* Vectors that push an error code: #DF #TS #NP #SS #GP #PF #AC #CP. */
#define EXCEPTION_ERROR_CODE_MASK 0x00227d00u

static always_inline bool exception_has_error_code(unsigned vector)
{
	return vector < EXCEPTION_COUNT && (EXCEPTION_ERROR_CODE_MASK >> vector & 1);
}

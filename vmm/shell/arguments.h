/* Reading commands' arguments; a wrong one is told to the user. */
#pragma once

#include "lib/types.h"

struct vcpu;
struct vm;

/** arguments_vm() - the VM called @name, NULL if there is none. */
must_check struct vm *arguments_vm(const char *name);
/** arguments_number() - a number in [@minimum, @maximum]; @what names the argument. */
must_check bool arguments_number(const char *word, const char *what, uint64_t minimum, uint64_t maximum, uint64_t *number);
/** arguments_vcpu() - the vCPU of `NAME [V]`: words 1 and 2 of @words, V = 0 if it is not there; NULL if there is none. */
must_check struct vcpu *arguments_vcpu(unsigned count, const char *const *words);

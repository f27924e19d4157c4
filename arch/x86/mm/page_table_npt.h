/*
 * Nested page tables of SVM. They have the form of the host's own, with every page a user's; cache types go through the
 * host's PAT and are combined with the guest's. AMD APM Vol. 2 "Nested Paging".
 */
#pragma once

#include "arch/x86/mm/page_table.h"

/** page_table_npt_format() - with the page sizes that this CPU allows. */
const struct page_table_format *page_table_npt_format(bool page_1g);

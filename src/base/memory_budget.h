/* memory_budget.h - how much memory mail may take, and how much it does. */
#ifndef HERALD_BASE_MEMORY_BUDGET_H
#define HERALD_BASE_MEMORY_BUDGET_H

#include <stdint.h>

/* A value; all zero has no limit.  Of the loop's thread alone: what another thread makes is
 * counted once the loop has it. */
struct memory_budget {
	uint64_t used, limit;		/* octets; limit 0: none */
};

/* RULES S: at 90 % no more mail is begun, at 100 % no more clients are taken.  From half on
 * what may as well lie in a file does. */
enum memory_state { MEMORY_AMPLE, MEMORY_TIGHT, MEMORY_SHORT, MEMORY_OUT };

enum memory_state memory_budget_state(const struct memory_budget *budget);

/* What one holder takes is now `octets`; *charged is what it was counted with, and becomes
 * that.  NULL: it is not counted anywhere. */
void memory_budget_charge(struct memory_budget *budget, uint64_t *charged, uint64_t octets);

#endif

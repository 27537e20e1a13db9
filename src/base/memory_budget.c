/* memory_budget.c - how much memory mail may take, and how much it does. */
#include "base/memory_budget.h"

#include <assert.h>
#include <stddef.h>

enum memory_state
memory_budget_state(const struct memory_budget *budget)
{
	if (budget->limit == 0 || budget->used < budget->limit / 2)
		return MEMORY_AMPLE;
	if (budget->used >= budget->limit)
		return MEMORY_OUT;
	return budget->used >= budget->limit - budget->limit / 10 ? MEMORY_SHORT : MEMORY_TIGHT;
}

void
memory_budget_charge(struct memory_budget *budget, uint64_t *charged, uint64_t octets)
{
	if (budget == NULL)
		return;
	assert(budget->used >= *charged);
	budget->used = budget->used - *charged + octets;
	*charged = octets;
}

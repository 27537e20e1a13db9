/* reload.c - puts a configuration in force in all services, or in none. */
#include "daemon/reload.h"

#include "base/mem.h"
#include "base/service.h"

#include <stdlib.h>

bool
reload_apply(const struct service *services, size_t count, const struct config *next,
    struct error *err)
{
	void **prepared = mem_array(count, sizeof(*prepared));
	size_t i;

	for (i = 0; i < count; i++) {
		prepared[i] = services[i].ops->prepare(services[i].self, next, err);
		if (prepared[i] == NULL)
			goto fail;
	}
	for (i = 0; i < count; i++)
		services[i].ops->commit(services[i].self, prepared[i], next);
	free(prepared);
	return true;
fail:
	while (i-- > 0)
		services[i].ops->abandon(services[i].self, prepared[i]);
	free(prepared);
	return false;
}

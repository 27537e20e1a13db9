/* budget.c - what all destinations share: descriptors for sessions, and room for mail. */
#include "relay/budget.h"

#include "base/mem.h"
#include "net/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/resource.h>

#define FILES_RESERVED	128	/* descriptors: store, log, control, mail data in files, DNS */
#define SESSIONS_MIN	4
#define SESSIONS_MAX	4096

TAILQ_HEAD(wish_list, budget_wish);

struct budget {
	struct loop *loop;
	size_t sessions, sessions_max;
	size_t destinations, unproven;
	struct wish_list first, more;	/* who has no session yet; who wants one more */
	const struct budget_wish *granted;	/* it is woken at this moment */
	TAILQ_HEAD(, budget_idle) idle;	/* the longest first */
	struct loop_task task;		/* wakes who waits */
};

static struct budget_wish *
next_wish(const struct budget *budget)
{
	struct budget_wish *wish = TAILQ_FIRST(&budget->first);

	return wish != NULL ? wish : TAILQ_FIRST(&budget->more);
}

static void
wake_next(void *owner)
{
	struct budget *budget = owner;
	struct budget_wish *wish = next_wish(budget);
	size_t before = budget->sessions;

	if (wish == NULL || before >= budget->sessions_max)
		return;
	budget_forget(budget, wish);
	budget->granted = wish;
	wish->wake(wish->owner);
	budget->granted = NULL;
	/* Who was refused again waits for the next session that ends; else others may be
	 * helped now. */
	if ((budget->sessions > before || !wish->waits) && next_wish(budget) != NULL)
		loop_defer(budget->loop, &budget->task);
}

static size_t
count_by_files(void)
{
	struct rlimit files;
	size_t count;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1 || files.rlim_cur == RLIM_INFINITY)
		return SESSIONS_MAX;
	count = files.rlim_cur > FILES_RESERVED ? (files.rlim_cur - FILES_RESERVED) / 2 : 0;
	return count < SESSIONS_MIN ? SESSIONS_MIN : count > SESSIONS_MAX ? SESSIONS_MAX : count;
}

struct budget *
budget_new(struct loop *loop, size_t sessions_max)
{
	struct budget *budget = mem_zalloc(sizeof(*budget));

	budget->loop = loop;
	budget->sessions_max = sessions_max > 0 ? sessions_max : count_by_files();
	TAILQ_INIT(&budget->first);
	TAILQ_INIT(&budget->more);
	TAILQ_INIT(&budget->idle);
	budget->task = (struct loop_task){ .run = wake_next, .owner = budget };
	return budget;
}

void
budget_free(struct budget *budget)
{
	if (budget == NULL)
		return;
	assert(TAILQ_EMPTY(&budget->idle));
	loop_cancel(budget->loop, &budget->task);
	free(budget);
}

/* A quarter of all is kept for destinations that have no session yet, and those who wait go
 * first: a large one does not keep out the small ones. */
static bool
may_open(const struct budget *budget, const struct budget_wish *wish, size_t open)
{
	size_t shared = budget->sessions_max - budget->sessions_max / 4;

	if (budget->sessions >= budget->sessions_max)
		return false;
	return open == 0 || (budget->sessions < shared &&
	    (budget->granted == wish || next_wish(budget) == NULL));
}

static void
wait(struct budget *budget, struct budget_wish *wish, size_t open)
{
	if (wish->waits)
		return;
	wish->waits = true;
	wish->first = open == 0;
	if (wish->first)
		TAILQ_INSERT_TAIL(&budget->first, wish, entry);
	else
		TAILQ_INSERT_TAIL(&budget->more, wish, entry);
}

bool
budget_open(struct budget *budget, struct budget_wish *wish, size_t open)
{
	struct budget_idle *idle = TAILQ_FIRST(&budget->idle);

	if (may_open(budget, wish, open)) {
		budget_forget(budget, wish);
		budget->granted = NULL;	/* one for each */
		budget->sessions++;
		return true;
	}
	wait(budget, wish, open);
	if (idle != NULL) {
		budget_unlist_idle(budget, idle);
		idle->end(idle->owner);
	}
	return false;
}

void
budget_close(struct budget *budget)
{
	assert(budget->sessions > 0);
	budget->sessions--;
	if (next_wish(budget) != NULL)
		loop_defer(budget->loop, &budget->task);
}

void
budget_forget(struct budget *budget, struct budget_wish *wish)
{
	if (!wish->waits)
		return;
	wish->waits = false;
	if (wish->first)
		TAILQ_REMOVE(&budget->first, wish, entry);
	else
		TAILQ_REMOVE(&budget->more, wish, entry);
}

void
budget_list_idle(struct budget *budget, struct budget_idle *idle)
{
	if (idle->listed)
		return;
	idle->listed = true;
	TAILQ_INSERT_TAIL(&budget->idle, idle, entry);
}

void
budget_unlist_idle(struct budget *budget, struct budget_idle *idle)
{
	if (!idle->listed)
		return;
	idle->listed = false;
	TAILQ_REMOVE(&budget->idle, idle, entry);
}

void
budget_add_waiting(struct budget *budget, size_t destinations, size_t unproven)
{
	budget->destinations += destinations;
	budget->unproven += unproven;
}

void
budget_sub_waiting(struct budget *budget, size_t destinations, size_t unproven)
{
	assert(budget->destinations >= destinations && budget->unproven >= unproven);
	budget->destinations -= destinations;
	budget->unproven -= unproven;
}

bool
budget_is_alone(const struct budget *budget)
{
	return budget->destinations <= 1;
}

size_t
budget_share(const struct budget *budget)
{
	return BUDGET_SHARED / (budget->destinations > 0 ? budget->destinations : 1);
}

bool
budget_has_room(const struct budget *budget)
{
	return budget->unproven <= BUDGET_UNPROVEN_MAX;
}

size_t
budget_sessions(const struct budget *budget)
{
	return budget->sessions;
}

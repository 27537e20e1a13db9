/* client_progress.c - how far a long transfer is, on a terminal and nowhere else. */
#include "client/client_progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define SECOND	INT64_C(1000000)
#define PAUSE	(SECOND / 5)		/* between two looks of it */

void
client_progress_start(struct client_progress *progress, const char *what, uint64_t size)
{
	*progress = (struct client_progress){
		.what = what,
		.size = size,
		.began = clock_monotonic_us(),
		.is_on = isatty(STDERR_FILENO) == 1,
	};
}

static double
in_mebibytes(uint64_t octets)
{
	return (double)octets / (1024.0 * 1024.0);
}

static void
draw(struct client_progress *progress, int64_t now)
{
	const double seconds = (double)(now - progress->began) / (double)SECOND;

	fprintf(stderr, "\r%s: %.1f", progress->what, in_mebibytes(progress->done));
	if (progress->size > 0)
		fprintf(stderr, " of %.1f MiB, %u%%", in_mebibytes(progress->size),
		    (unsigned)(progress->done < progress->size ?
		    (double)progress->done * 100.0 / (double)progress->size : 100));
	else
		fputs(" MiB", stderr);
	fprintf(stderr, ", %.1f MiB/s\033[K", in_mebibytes(progress->done) / seconds);
	fflush(stderr);
	progress->is_drawn = true;
	progress->shown = now;
}

void
client_progress_to(struct client_progress *progress, uint64_t done)
{
	const int64_t now = clock_monotonic_us();

	progress->done = done;
	if (progress->is_on && now - progress->began >= SECOND && now - progress->shown >= PAUSE)
		draw(progress, now);
}

void
client_progress_end(struct client_progress *progress)
{
	if (progress->is_drawn)
		fputs("\r\033[K", stderr);
	progress->is_drawn = false;
	progress->is_on = false;
}

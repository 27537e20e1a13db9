/* client_progress.h - how far a long transfer is, on a terminal and nowhere else. */
#ifndef HERALD_CLIENT_CLIENT_PROGRESS_H
#define HERALD_CLIENT_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A value. */
struct client_progress {
	const char *what;		/* "sent", "message 3"; borrowed */
	uint64_t size;			/* octets of all of it; 0: not known */
	uint64_t done;
	int64_t began, shown;		/* of clock_monotonic_us() */
	bool is_on;			/* standard error is a terminal, with nothing else on it */
	bool is_drawn;			/* a line stands there */
};

/* Nothing is drawn within the first second: what is quick needs no word. */
void client_progress_start(struct client_progress *progress, const char *what, uint64_t size);
void client_progress_to(struct client_progress *progress, uint64_t done);
/* The line goes; call it before anything else is written to standard error. */
void client_progress_end(struct client_progress *progress);

#endif

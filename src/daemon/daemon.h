/* daemon.h - heraldd from its options to its exit code. */
#ifndef HERALD_DAEMON_DAEMON_H
#define HERALD_DAEMON_DAEMON_H

#include <stdbool.h>

struct daemon_options {
	const char *conffile;
	const char *user;		/* NULL: as the conffile says */
	const char *pidfile;		/* NULL: none */
	bool debug;			/* log to stderr at debug level, not as the conffile says */
};

/* Runs until a signal ends it; returns an exit code of sysexits.h. */
int daemon_run(const struct daemon_options *options);

#endif

/* system.h - the daemon's dealings with its system: user, directories, pid file, systemd. */
#ifndef HERALD_DAEMON_SYSTEM_H
#define HERALD_DAEMON_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct error;

/* umask 077, no core (secrets, RULES F5), SIGPIPE ignored, descriptors up to the hard limit. */
void system_harden(void);

/* state_directory and runtime_directory: made when missing, given to the user when we are
 * root; the state directory must belong to the user and be closed to others. */
bool system_directories(const struct config *config, const char *user, struct error *err)
    __attribute__((warn_unused_result));

/* When started by root: becomes `user` for good and keeps one capability,
 * CAP_NET_BIND_SERVICE, so that a reload can bind what the start could.  Else checks
 * nothing and changes nothing. */
bool system_drop_privileges(const char *user, struct error *err)
    __attribute__((warn_unused_result));

/* The file holds the pid; written before privileges go.  Refused while another process
 * holds the lock on it.  NULL: none wanted. */
bool system_pidfile(const char *path, struct error *err) __attribute__((warn_unused_result));
void system_pidfile_remove(void);

/* sd_notify(3); nothing without systemd or without NOTIFY_SOCKET. */
void system_notify_ready(unsigned generation);
void system_notify_reloading(void);
void system_notify_stopping(void);
void system_notify_status(const char *text);
void system_notify_watchdog(void);
/* Microseconds between two signs of life that systemd wants; 0: none. */
uint64_t system_watchdog_interval(void);

#endif

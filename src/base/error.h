/* error.h - why an operation failed, in words an administrator can act on. */
#ifndef HERALD_BASE_ERROR_H
#define HERALD_BASE_ERROR_H

#include <stdbool.h>

enum error_kind { ERROR_CONFIG, ERROR_SYSTEM, ERROR_NETWORK, ERROR_TLS, ERROR_STORE };

/* A value on the caller's stack; owns nothing.  Means something only after a
 * function that takes `struct error *err` returned false or NULL. */
struct error {
	enum error_kind kind;
	char text[512];		/* one line, no final dot or newline */
};

/* Fills *err and returns false, so that a function can end in
 * `return error_set(err, ERROR_NETWORK, "cannot bind %s: %s", ...)`. */
bool error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before what a lower layer said; returns false. */
bool error_prefix(struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif

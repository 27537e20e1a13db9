/* template.h - a greeting's text with the places where something of the client is put in. */
#ifndef HERALD_SERVICES_TEMPLATE_H
#define HERALD_SERVICES_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct template;

struct template_values {
	const char *client_address, *hostname;
	uint16_t client_port;
	int64_t now; /* Unix seconds */
};

/* Of text whose variables are known to be good: "%{client_address}", "%{client_port}",
 * "%{hostname}", "%{time}", "%%"; any other "%" stands for itself. */
struct template *template_new(const char *text, size_t len);
void template_free(struct template *template); /* NULL is allowed */

/* The whole text when it has no variables, else NULL: no need to render it. */
const char *template_constant(const struct template *template, size_t *len);
/* Appends to *out.  The time is local, as of RFC 3339: 2026-01-31T12:00:00+01:00. */
void template_render(
    const struct template *template, const struct template_values *values, struct buf *out);

#endif

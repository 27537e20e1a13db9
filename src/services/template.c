/* template.c - a greeting's text with the places where something of the client is put in. */
#include "services/template.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum variable { LITERAL, CLIENT_ADDRESS, CLIENT_PORT, HOSTNAME, TIME };

static const struct {
	const char *text;
	enum variable variable;
} variables[] = {
	{ "%{client_address}", CLIENT_ADDRESS },
	{ "%{client_port}", CLIENT_PORT },
	{ "%{hostname}", HOSTNAME },
	{ "%{time}", TIME },
};

/* A run of `literals`, or a variable. */
struct part {
	enum variable variable;
	size_t start, len;
};

struct template
{
	struct buf literals;
	struct part *parts;
	size_t count;
};

static struct part *
add_part(struct template *template, enum variable variable)
{
	struct part *part;

	template->parts = mem_grow(template->parts, template->count + 1, sizeof(*template->parts));
	part = &template->parts[template->count++];
	*part = (struct part){ variable, template->literals.len, 0 };
	return part;
}

static void
add_literal(struct template *template, const char *octets, size_t len)
{
	struct part *last = template->count > 0 ? &template->parts[template->count - 1] : NULL;

	if (last == NULL || last->variable != LITERAL)
		last = add_part(template, LITERAL);
	buf_append(&template->literals, octets, len);
	last->len += len;
}

/* Octets of the variable at `text`; 0 when there is none. */
static size_t
variable_at(const char *text, size_t len, enum variable *out)
{
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		size_t need = strlen(variables[i].text);

		if (need <= len && memcmp(text, variables[i].text, need) == 0) {
			*out = variables[i].variable;
			return need;
		}
	}
	return 0;
}

struct template *
template_new(const char *text, size_t len)
{
	struct template *template = mem_zalloc(sizeof(*template));
	size_t step;

	for (size_t at = 0; at < len; at += step) {
		const char *percent = memchr(text + at, '%', len - at);
		size_t plain = percent != NULL ? (size_t)(percent - text) - at : len - at;
		enum variable variable;

		step = plain;
		if (plain > 0) {
			add_literal(template, text + at, plain);
			continue;
		}
		step = variable_at(percent, len - at, &variable);
		if (step > 0) {
			add_part(template, variable);
			continue;
		}
		add_literal(template, percent, 1);
		step = at + 1 < len && percent[1] == '%' ? 2 : 1;
	}
	return template;
}

void
template_free(struct template *template)
{
	if (template == NULL)
		return;
	buf_free(&template->literals);
	free(template->parts);
	free(template);
}

const char *
template_constant(const struct template *template, size_t *len)
{
	if (template->count > 1 || (template->count == 1 && template->parts[0].variable != LITERAL))
		return NULL;
	*len = template->literals.len;
	return buf_octets(&template->literals);
}

static void
append_time(int64_t now, struct buf *out)
{
	time_t seconds = (time_t)now;
	struct tm local;
	char text[40] = "";

	if (localtime_r(&seconds, &local) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &local) !=
		strlen("2026-01-31T12:00:00+0100"))
		return;
	buf_append(out, text, strlen(text) - 2);
	buf_appendf(out, ":%s", text + strlen(text) - 2);
}

void
template_render(
    const struct template *template, const struct template_values *values, struct buf *out)
{
	for (size_t i = 0; i < template->count; i++) {
		const struct part *part = &template->parts[i];

		switch (part->variable) {
		case LITERAL:
			buf_append(out, buf_octets(&template->literals) + part->start, part->len);
			break;
		case CLIENT_ADDRESS:
			buf_append_text(out, values->client_address);
			break;
		case CLIENT_PORT:
			buf_appendf(out, "%u", values->client_port);
			break;
		case HOSTNAME:
			buf_append_text(out, values->hostname);
			break;
		case TIME:
			append_time(values->now, out);
			break;
		}
	}
}

/* control_relay.c - the verbs of the control socket that look at relays and steer them. */
#include "daemon/control_verbs.h"

#include "base/mem.h"
#include "conf/config.h"
#include "daemon/control.h"
#include "mail/address.h"
#include "relay/delivery.h"
#include "relay/probe.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define PROBES_MAX	4	/* at once; an administrator asks for one */

static struct delivery *
delivery_of(const struct control_request *request)
{
	return request->context->parts->delivery;
}

void
control_relays(struct control_request *request)
{
	control_succeed(request, delivery_relays(delivery_of(request)));
}

static void
pause_relay(struct control_request *request, bool pause)
{
	const char *name = control_text(request, "relay");

	if (name == NULL)
		control_refuse(request, EX_USAGE, "needs the name of a relay");
	else if (!delivery_pause(delivery_of(request), name, pause))
		control_refuse(request, EX_DATAERR, "no relay of that name in the conffile");
	else
		control_succeed(request, delivery_relays(delivery_of(request)));
}

void
control_relay_pause(struct control_request *request)
{
	pause_relay(request, true);
}

void
control_relay_resume(struct control_request *request)
{
	pause_relay(request, false);
}

static bool
read_address(const struct control_request *request, const char *key, struct address *out)
{
	const char *text = control_text(request, key);

	*out = (struct address){ .local = "" };
	if (text == NULL || text[0] == '\0' || strcmp(text, "<>") == 0)
		return true;
	return address_parse(out, text, strlen(text)) == ADDRESS_OK;
}

void
control_route(struct control_request *request)
{
	struct address sender, recipient;

	if (!read_address(request, "sender", &sender))
		control_refuse(request, EX_DATAERR, "the sender is not an address");
	else if (!read_address(request, "recipient", &recipient) || address_is_null(&recipient))
		control_refuse(request, EX_DATAERR, "the recipient is not an address");
	else
		control_succeed(request, delivery_route(delivery_of(request), &sender, &recipient));
}

/* --- probe --- */

struct probing {
	struct probe *probe;
	struct control_request *request;
	LIST_ENTRY(probing) entry;
};

static void
on_probed(void *arg, json_t *result)
{
	struct probing *probing = arg;
	struct control_request *request = probing->request;

	request->context->probe_count--;
	LIST_REMOVE(probing, entry);
	free(probing);
	control_succeed(request, result);
}

static bool
is_probed(const struct control_context *context, const char *relay)
{
	const struct probing *probing;

	LIST_FOREACH(probing, &context->probes, entry)
		if (strcmp(probe_relay(probing->probe), relay) == 0)
			return true;
	return false;
}

static void
start_probe(struct control_request *request, const struct relay_params *params,
    const char *domain)
{
	struct control_context *context = request->context;
	struct probing *probing = mem_zalloc(sizeof(*probing));
	const struct probe_params what = { .config = params->config, .relay = params->relay,
	    .tls = params->tls, .domain = domain,
	    .password = params->secret.len > 0 ? buf_octets(&params->secret) : "" };

	probing->request = request;
	LIST_INSERT_HEAD(&context->probes, probing, entry);
	context->probe_count++;
	probing->probe = probe_start(context->parts->loop, context->parts->resolver, &what,
	    on_probed, probing);
}

void
control_probe(struct control_request *request)
{
	const char *name = control_text(request, "relay");
	const char *domain = control_text(request, "domain");
	const struct relay_params *params = NULL;

	if (name != NULL)
		params = delivery_relay_params(delivery_of(request), name);
	if (params == NULL)
		control_refuse(request, EX_DATAERR, "no relay of that name in the conffile");
	else if (params->relay->mx && domain == NULL)
		control_refuse(request, EX_USAGE, "this relay delivers by MX: give a domain "
		    "behind its name");
	else if (!params->relay->mx && domain != NULL)
		control_refuse(request, EX_USAGE, "a domain is for a relay that delivers by MX");
	else if (request->context->probe_count >= PROBES_MAX ||
	    is_probed(request->context, name))
		control_refuse(request, EX_TEMPFAIL, "it is being probed already");
	else
		start_probe(request, params, domain);
}

void
control_cancel(struct control_context *context)
{
	struct control_request *request;

	while (!LIST_EMPTY(&context->probes))
		probe_cancel(LIST_FIRST(&context->probes)->probe);
	while ((request = LIST_FIRST(&context->requests)) != NULL) {
		LIST_REMOVE(request, entry);
		request->context = NULL;
	}
}

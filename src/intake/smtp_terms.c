/* smtp_terms.c - what the sessions of a block begin and end with: settings, certificate, users. */
#include "intake/smtp_terms.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"
#include "conf/users.h"
#include "net/tls.h"

struct smtp_terms *
smtp_terms_new(const struct config *config, const struct submission_config *section,
    struct error *err)
{
	struct smtp_terms *terms = mem_zalloc(sizeof(*terms));

	terms->holders = 1;
	terms->config = config_ref(config);
	terms->section = section;
	if (section->tls != CONFIG_TLS_NONE) {
		terms->tls = tls_server_new(section->certificate, section->private_key, err);
		if (terms->tls == NULL)
			goto fail;
	}
	if (section->users != NULL && section->users[0] != '\0') {
		terms->users = users_load(section->users, false, err);
		if (terms->users == NULL)
			goto fail;
	}
	return terms;
fail:
	error_prefix(err, "%s:%u: submission %s", section->conffile, section->line,
	    section->name);
	smtp_terms_unref(terms);
	return NULL;
}

struct smtp_terms *
smtp_terms_ref(struct smtp_terms *terms)
{
	terms->holders++;
	return terms;
}

void
smtp_terms_unref(struct smtp_terms *terms)
{
	if (terms == NULL || --terms->holders > 0)
		return;
	tls_unref(terms->tls);
	users_unref(terms->users);
	config_unref(terms->config);
	free(terms);
}

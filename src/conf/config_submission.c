/* config_submission.c - submission blocks: values against each other and against their files. */
#include "conf/config_submission.h"

#include "base/error.h"
#include "conf/config.h"
#include "conf/config_check.h"
#include "conf/config_files.h"
#include "conf/users.h"

#define NEEDS_TLS "needs tls = \"starttls\" or \"implicit\""

static bool
check_tls(const struct submission_config *submission, const struct config_block *block,
    struct error *err)
{
	bool has_certificate = submission->certificate[0] != '\0';
	bool has_key = submission->private_key[0] != '\0';

	if (submission->tls == CONFIG_TLS_NONE && has_certificate)
		return config_fault(block, "certificate", err, NEEDS_TLS);
	if (submission->tls == CONFIG_TLS_NONE && has_key)
		return config_fault(block, "private_key", err, NEEDS_TLS);
	if (submission->tls != CONFIG_TLS_NONE && (!has_certificate || !has_key))
		return config_fault(block, "tls", err, "needs certificate and private_key");
	return config_check_readable(block, "certificate", submission->certificate, err) &&
	    config_check_readable(block, "private_key", submission->private_key, err) &&
	    config_check_key_pair(block, submission->certificate, submission->private_key, err);
}

/* Of a socket of systemd the address is not known here; sessions look at their own. */
static bool
is_off_machine(const struct endpoint *endpoint)
{
	return endpoint->kind == ENDPOINT_INET && !endpoint_is_loopback(endpoint);
}

static bool
check_auth(const struct submission_config *submission, const struct config_block *block,
    struct error *err)
{
	if (submission->users[0] == '\0')
		return !submission->require_auth ||
		    config_fault(block, "require_auth", err, "needs users");
	for (size_t i = 0; i < submission->listen.count; i++)
		if (submission->tls == CONFIG_TLS_NONE &&
		    is_off_machine(&submission->listen.items[i]))
			return config_fault(block, "users", err,
			    NEEDS_TLS ": passwords would come to %s in the clear",
			    submission->listen.items[i].text);
	return true;
}

static bool
check_users(const struct submission_config *submission, const struct config_block *block,
    struct error *err)
{
	struct users *users;
	struct error said;

	if (submission->users[0] == '\0')
		return true;
	users = users_load(submission->users, true, &said);
	if (users == NULL)
		return config_fault(block, "users", err, "%s", said.text);
	users_unref(users);
	return true;
}

bool
config_check_submission(const struct config *config, const struct config_block *block,
    const void *object, struct error *err)
{
	const struct submission_config *submission = object;

	if (config->default_relay[0] == '\0')
		return config_fault(block, NULL, err,
		    "submission %s: no default_relay, mail that is "
		    "taken must have a way out",
		    block->title);
	return check_auth(submission, block, err) && check_tls(submission, block, err) &&
	    config_check_private(block, "private_key", submission->private_key, config->user,
		err) &&
	    config_check_private(block, "users", submission->users, config->user, err) &&
	    check_users(submission, block, err);
}

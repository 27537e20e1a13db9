/* config_files.c - the files that keys name: there, readable, private, and what they should be. */
#include "conf/config_files.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_check.h"
#include "conf/config_source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX  4096 /* octets; an OAuth token has 2 KiB */
#define SECRET_ROOM (64 * 1024)

static bool
stat_file(const struct config_block *block, const char *key, const char *path, struct stat *status,
    struct error *err)
{
	if (stat(path, status) == -1)
		return config_fault(block, key, err, "cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(status->st_mode))
		return config_fault(block, key, err, "cannot read %s: not a regular file", path);
	return true;
}

bool
config_check_readable(
    const struct config_block *block, const char *key, const char *path, struct error *err)
{
	struct stat status;

	if (path[0] == '\0')
		return true;
	if (!stat_file(block, key, path, &status, err))
		return false;
	if (access(path, R_OK) == -1)
		return config_fault(block, key, err, "cannot read %s: %s", path, strerror(errno));
	return true;
}

/* The group herald, or the one of the user that the daemon runs as. */
static bool
is_our_group(gid_t gid, const char *user)
{
	const struct group *group = getgrnam("herald");
	const struct passwd *passwd;

	if (group != NULL && group->gr_gid == gid)
		return true;
	passwd = getpwnam(user);
	return passwd != NULL && passwd->pw_gid == gid && gid != 0;
}

bool
config_check_private(const struct config_block *block, const char *key, const char *path,
    const char *user, struct error *err)
{
	struct stat status;
	bool group_may;

	if (path[0] == '\0')
		return true;
	if (!stat_file(block, key, path, &status, err))
		return false;
	group_may = status.st_uid == 0 && is_our_group(status.st_gid, user);
	if ((status.st_mode & (group_may ? 0037u : 0077u)) != 0)
		return config_fault(block, key, err,
		    "%s has mode %04o and could be read by "
		    "others, allowed are 0600, or 0640 of root and the group herald",
		    path, status.st_mode & 07777u);
	return true;
}

/* ---- secrets */

static bool
check_secret_text(
    const struct config_block *block, const char *key, const char *path, struct error *err)
{
	struct buf octets = { 0 };
	struct error said;
	bool is_line;
	size_t len;

	/* Whoever tests a conffile need not be the one who may read its secrets. */
	if (access(path, R_OK) == -1 && errno == EACCES)
		return true;
	/* All at once: a buf that grew would leave a copy of the secret behind. */
	buf_reserve(&octets, SECRET_ROOM);
	if (!config_read(path, SECRET_MAX + 1, &octets, &said)) {
		buf_wipe(&octets);
		return config_fault(block, key, err, "%s: %s", path, said.text);
	}
	len = octets.len;
	if (len > 0 && buf_octets(&octets)[len - 1] == '\n')
		len--;
	is_line = memchr(buf_octets(&octets), '\n', len) == NULL &&
	    memchr(buf_octets(&octets), '\r', len) == NULL &&
	    memchr(buf_octets(&octets), '\0', len) == NULL;
	buf_wipe(&octets);
	if (len == 0 || len > SECRET_MAX)
		return config_fault(block, key, err, "%s has %zu octets, allowed are 1 to %d", path,
		    len, SECRET_MAX);
	return is_line ||
	    config_fault(
		block, key, err, "%s has a NUL, CR or second line, allowed is one line", path);
}

static bool
check_program(
    const struct config_block *block, const char *key, const char *command, struct error *err)
{
	char *path = mem_strdup(command);
	struct stat status;
	bool good;

	path[strcspn(path, " \t")] = '\0';
	good = stat_file(block, key, path, &status, err);
	if (good && (status.st_mode & 0111) == 0)
		good = config_fault(block, key, err, "%s is not executable", path);
	free(path);
	return good;
}

bool
config_check_secret(const struct config_block *block, const char *key, const char *where,
    const char *user, struct error *err)
{
	if (text_has_prefix(where, "command:"))
		return check_program(block, key, where + strlen("command:"), err);
	/* Credentials are there when the service manager has started us, not before. */
	if (!text_has_prefix(where, "file:"))
		return true;
	where += strlen("file:");
	return config_check_private(block, key, where, user, err) &&
	    check_secret_text(block, key, where, err);
}

/* ---- TLS */

static bool
tls_fault(const struct config_block *block, const char *key, const char *path, struct error *err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	config_fault(block, key, err, "%s: %s, allowed is PEM", path,
	    reason != NULL ? reason : "cannot be used");
	ERR_clear_error();
	return false;
}

bool
config_check_authorities(
    const struct config_block *block, const char *key, const char *path, struct error *err)
{
	X509_STORE *store;
	bool good;

	if (path[0] == '\0')
		return true;
	if (!config_check_readable(block, key, path, err))
		return false;
	store = X509_STORE_new();
	if (store == NULL)
		abort();
	good = X509_STORE_load_locations(store, path, NULL) == 1 ||
	    tls_fault(block, key, path, err);
	X509_STORE_free(store);
	ERR_clear_error();
	return good;
}

/* A key that wants a passphrase is refused: no one is there to type it. */
static int
no_passphrase(char *out, int size, int for_writing, void *arg)
{
	(void)out;
	(void)size;
	(void)for_writing;
	(void)arg;
	return -1;
}

bool
config_check_key_pair(const struct config_block *block, const char *certificate,
    const char *private_key, struct error *err)
{
	SSL_CTX *context;
	bool good = false;

	if (certificate[0] == '\0')
		return true;
	context = SSL_CTX_new(TLS_method());
	if (context == NULL)
		abort();
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		tls_fault(block, "certificate", certificate, err);
	else if (SSL_CTX_use_PrivateKey_file(context, private_key, SSL_FILETYPE_PEM) == 1)
		good = true;
	else if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
		config_fault(
		    block, "private_key", err, "%s is not the key of %s", private_key, certificate);
	else
		tls_fault(block, "private_key", private_key, err);
	SSL_CTX_free(context);
	ERR_clear_error();
	return good;
}

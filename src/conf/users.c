/* users.c - who may authenticate: a file of NAME:HASH lines, the hashes of crypt(5). */
#include "conf/users.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/private_file.h"
#include "base/text.h"

#include <crypt.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX	(1024 * 1024)	/* octets: some 8,000 users */
/* Of yescrypt: 2^(this + 1) blocks of 4 KiB are 128 MiB for each login. */
#define YESCRYPT_COST_MAX	14
#define ALLOWED		"allowed are yescrypt, sha512, sha256 and bcrypt"

struct users {
	unsigned holders;
	struct buf octets;	/* the file; all texts are parts of it */
	struct map *hashes;	/* by name */
	const char **by_number;	/* the same, users_count() of them */
};

/* What crypt(5) calls them.  A hash ends in `tail` octets behind the last $, which are the
 * salt and the digest of bcrypt.  A login is to cost a fraction of a second, not minutes. */
static const struct method {
	const char *prefix;
	size_t tail;
	const char *cost;		/* what stands before its cost; NULL: not known here */
	uint64_t cost_max;
} methods[] = {
	{ "$y$", 43, NULL, 0 },
	{ "$6$", 86, "$6$rounds=", 1000000 },
	{ "$5$", 43, "$5$rounds=", 1000000 },
	{ "$2b$", 53, "$2b$", 14 },
	{ "$2y$", 53, "$2y$", 14 },
	{ "$2a$", 53, "$2a$", 14 },
};

/* For a file without anybody: of the kind that `heraldctl user hash` makes. */
static const char decoy_of_none[] =
    "$y$j9T$herald0decoy0salt00000$0000000000000000000000000000000000000000000";

/* Of hashes, salts and the parameters of yescrypt, by their value. */
static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static const struct method *
method_of(const char *hash)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (text_has_prefix(hash, methods[i].prefix))
			return &methods[i];
	return NULL;
}

static bool
cost_is_good(const struct method *method, const char *hash, struct error *err)
{
	char number[24];
	uint64_t cost;
	size_t len;

	if (text_has_prefix(hash, "$y$j") && hash[4] != '\0' &&
	    strchr(digits, hash[4]) > digits + YESCRYPT_COST_MAX)
		return error_set(err, ERROR_CONFIG, "the hash costs more than 128 MiB of memory");
	if (method->cost == NULL || !text_has_prefix(hash, method->cost))
		return true;
	hash += strlen(method->cost);
	len = strspn(hash, "0123456789");
	if (len == 0 || len >= sizeof(number))
		return error_set(err, ERROR_CONFIG, "the hash has no cost");
	memcpy(number, hash, len);
	number[len] = '\0';
	if (text_parse_number(number, &cost) && cost <= method->cost_max)
		return true;
	return error_set(err, ERROR_CONFIG, "the hash costs %s rounds, allowed are up to %llu",
	    number, (unsigned long long)method->cost_max);
}

bool
users_hash_check(const char *hash, struct error *err)
{
	const struct method *method = method_of(hash);
	const char *tail = strrchr(hash, '$');
	int verdict;

	if (method == NULL)
		return error_set(err, ERROR_CONFIG, "no hash of a known kind, " ALLOWED);
	if (strlen(hash) > USERS_HASH_MAX || strlen(tail + 1) != method->tail ||
	    strspn(tail + 1, digits) != method->tail || tail < hash + strlen(method->prefix))
		return error_set(err, ERROR_CONFIG, "the hash is cut short or broken");
	if (!cost_is_good(method, hash, err))
		return false;
	/* It calls sha256 legacy. */
	verdict = crypt_checksalt(hash);
	if (verdict == CRYPT_SALT_INVALID || verdict == CRYPT_SALT_METHOD_DISABLED)
		return error_set(err, ERROR_CONFIG, "crypt(3) does not take the hash, " ALLOWED);
	return true;
}

bool
users_name_check(const char *name, struct error *err)
{
	size_t len = strlen(name);
	char shown[64];

	if (len == 0 || len > USERS_NAME_MAX)
		return error_set(err, ERROR_CONFIG, "the name has %zu octets, allowed are 1 to %d",
		    len, USERS_NAME_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == ':' ||
		    !text_utf8_valid(name, len))
			return error_set(err, ERROR_CONFIG, "the name \"%s\" is not allowed, "
			    "which is UTF-8 without blanks and colons",
			    text_printable(shown, sizeof(shown), name, len));
	return true;
}

/* --- the file --- */

static bool
read_file(struct users *users, const char *path, bool guarded, struct error *err)
{
	int fd = guarded ? private_file_open_guarded(path, err) : private_file_open(path, err);
	ssize_t len;

	if (fd == -1)
		return false;
	/* All at once: a buf that grew would leave copies behind. */
	buf_reserve(&users->octets, FILE_MAX + 2);
	do {
		len = read(fd, buf_reserve(&users->octets, 1), FILE_MAX + 1 - users->octets.len);
		if (len > 0)
			buf_commit(&users->octets, (size_t)len);
	} while (len > 0 || (len == -1 && errno == EINTR));
	if (len == -1)
		error_set(err, ERROR_CONFIG, "%s: %s", path, strerror(errno));
	close(fd);
	if (len == -1)
		return false;
	if (users->octets.len > FILE_MAX)
		return error_set(err, ERROR_CONFIG, "%s: more than %d octets", path, FILE_MAX);
	if (memchr(buf_octets(&users->octets), '\0', users->octets.len) != NULL)
		return error_set(err, ERROR_CONFIG, "%s: has a NUL, allowed is text", path);
	return true;
}

static bool
take_line(struct users *users, char *line, struct error *err)
{
	char *hash = strchr(line, ':');

	if (hash == NULL)
		return error_set(err, ERROR_CONFIG, "no colon, allowed is NAME:HASH");
	*hash++ = '\0';
	if (!users_name_check(line, err) || !users_hash_check(hash, err))
		return false;
	if (map_get(users->hashes, line) != NULL)
		return error_set(err, ERROR_CONFIG, "%s stands twice", line);
	users->by_number = mem_grow(users->by_number, map_count(users->hashes) + 1,
	    sizeof(*users->by_number));
	users->by_number[map_count(users->hashes)] = hash;
	map_put(users->hashes, line, hash);
	return true;
}

static bool
take_lines(struct users *users, const char *path, struct error *err)
{
	unsigned number = 0;
	char *line, *rest;

	buf_text(&users->octets);
	rest = users->octets.octets + users->octets.start;
	while ((line = strsep(&rest, "\n")) != NULL) {
		size_t len = strlen(line);

		number++;
		if (len > 0 && line[len - 1] == '\r')
			line[len - 1] = '\0';
		if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
			continue;
		if (!take_line(users, line, err))
			return error_prefix(err, "%s:%u", path, number);
	}
	return true;
}

struct users *
users_load(const char *path, bool guarded, struct error *err)
{
	struct users *users = mem_zalloc(sizeof(*users));

	users->holders = 1;
	users->hashes = map_new();
	if (read_file(users, path, guarded, err) && take_lines(users, path, err))
		return users;
	users_unref(users);
	return NULL;
}

struct users *
users_ref(struct users *users)
{
	users->holders++;
	return users;
}

void
users_unref(struct users *users)
{
	if (users == NULL || --users->holders > 0)
		return;
	map_free(users->hashes);
	free(users->by_number);
	buf_wipe(&users->octets);
	free(users);
}

size_t
users_count(const struct users *users)
{
	return map_count(users->hashes);
}

const char *
users_hash(const struct users *users, const char *name)
{
	return map_get(users->hashes, name);
}

const char *
users_decoy(const struct users *users, const char *name)
{
	uint64_t sum = 14695981039346656037u;	/* FNV-1a */

	if (users_count(users) == 0)
		return decoy_of_none;
	for (; *name != '\0'; name++)
		sum = (sum ^ (unsigned char)*name) * 1099511628211u;
	return users->by_number[sum % users_count(users)];
}

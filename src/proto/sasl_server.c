/* sasl_server.c - the server's side of the AUTH mechanisms: what the client answers. */
#include "proto/sasl_server.h"

#include <assert.h>
#include <string.h>

#include "base/text.h"

void
sasl_server_start(struct sasl_server *sasl, enum sasl_mechanism mechanism)
{
	assert(mechanism == SASL_PLAIN || mechanism == SASL_LOGIN);
	*sasl = (struct sasl_server){ .mechanism = mechanism };
}

void
sasl_server_end(struct sasl_server *sasl)
{
	buf_wipe(&sasl->username);
	buf_wipe(&sasl->password);
	explicit_bzero(sasl, sizeof(*sasl));
}

/* The name goes into the log and into Received: no control, nothing that is not UTF-8. */
static bool
is_username(const char *octets, size_t len)
{
	char printable[4 * SASL_USERNAME_MAX + 1];
	size_t backslashes = 0;

	if (len == 0 || len > SASL_USERNAME_MAX)
		return false;
	/* The backslash alone may be there, which is four octets in print: DOMAIN\user. */
	for (size_t i = 0; i < len; i++)
		backslashes += octets[i] == '\\';
	text_printable_utf8(printable, sizeof(printable), octets, len);
	return strlen(printable) == len + 3 * backslashes;
}

/* Into memory that will not be moved: what is moved leaves a copy behind. */
static void
keep(struct buf *out, const char *octets, size_t len)
{
	buf_reserve(out, len + 1);
	buf_append(out, octets, len);
	buf_text(out);
}

static enum sasl_server_next
keep_password(struct sasl_server *sasl, const char *octets, size_t len)
{
	if (memchr(octets, '\0', len) != NULL)
		return SASL_SERVER_FAULT;
	keep(&sasl->password, octets, len);
	return SASL_SERVER_DONE;
}

/* RFC 4616 2: [authzid] NUL authcid NUL passwd. */
static enum sasl_server_next
take_plain(struct sasl_server *sasl, const struct buf *message)
{
	const char *authzid = buf_octets(message), *end = authzid + message->len;
	const char *name, *password;
	size_t authzid_len, name_len;

	name = memchr(authzid, '\0', message->len);
	if (name == NULL)
		return SASL_SERVER_FAULT;
	authzid_len = (size_t)(name++ - authzid);
	password = memchr(name, '\0', (size_t)(end - name));
	if (password == NULL)
		return SASL_SERVER_FAULT;
	name_len = (size_t)(password++ - name);
	if (!is_username(name, name_len))
		return SASL_SERVER_FAULT;
	if (authzid_len > 0 && (authzid_len != name_len || memcmp(authzid, name, name_len) != 0))
		return SASL_SERVER_OTHER_IDENTITY;
	keep(&sasl->username, name, name_len);
	return keep_password(sasl, password, (size_t)(end - password));
}

static enum sasl_server_next
take_login(struct sasl_server *sasl, const struct buf *message)
{
	if (sasl->username.len > 0)
		return keep_password(sasl, buf_octets(message), message->len);
	if (!is_username(buf_octets(message), message->len))
		return SASL_SERVER_FAULT;
	keep(&sasl->username, buf_octets(message), message->len);
	return SASL_SERVER_CHALLENGE;
}

enum sasl_server_next
sasl_server_answer(struct sasl_server *sasl, const char *answer, size_t len)
{
	struct buf message = { .octets = NULL };
	enum sasl_server_next next;

	if (answer == NULL)
		return SASL_SERVER_CHALLENGE;
	buf_reserve(&message, len);
	if (!base64_decode(&message, answer, len))
		next = SASL_SERVER_FAULT;
	else if (sasl->mechanism == SASL_PLAIN)
		next = take_plain(sasl, &message);
	else
		next = take_login(sasl, &message);
	buf_wipe(&message);
	return next;
}

const char *
sasl_server_challenge(const struct sasl_server *sasl)
{
	if (sasl->mechanism == SASL_PLAIN)
		return "";
	/* "Username:" and "Password:": every client knows these, some nothing else. */
	return sasl->username.len == 0 ? "VXNlcm5hbWU6" : "UGFzc3dvcmQ6";
}

const char *
sasl_server_username(const struct sasl_server *sasl)
{
	return buf_octets(&sasl->username);
}

const char *
sasl_server_password(const struct sasl_server *sasl)
{
	return buf_octets(&sasl->password);
}

/* sendmail_from.c - who calls sendmail: the login name, and the From field of a mail without. */
#include "cmd/sendmail_from.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/sendmail_address.h"
#include "mail/address.h"

#include <ctype.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Octets of a name that are kept: a GECOS field is shorter, and $NAME is anybody's. */
#define NAME_MAX_OCTETS	256
/* RFC 2047 2: an encoded word has 75 characters at most; 12 for "=?utf-8?q??=", 3 an octet. */
#define WORD_OCTETS	20

char *
sendmail_login(void)
{
	const struct passwd *account = getpwuid(getuid());

	if (account != NULL && account->pw_name[0] != '\0')
		return mem_strdup(account->pw_name);
	return mem_printf("uid%u", (unsigned)getuid());
}

/* What has a meaning in a list of addresses has none in a name: "ann (old)" is not ann. */
void
sendmail_login_address(struct address *out, const char *login)
{
	struct buf quoted = { 0 };
	struct error err;

	if (strpbrk(login, "()<>\",;: \t") == NULL && sendmail_sender_parse(out, login, &err))
		return;
	buf_append_text(&quoted, "\"");
	for (; *login != '\0'; login++)
		buf_appendf(&quoted, "%s%c", *login == '"' || *login == '\\' ? "\\" : "", *login);
	buf_append_text(&quoted, "\"");
	if (!sendmail_sender_parse(out, buf_text(&quoted), &err))
		text_copy(out->local, sizeof(out->local), "nobody");
	buf_free(&quoted);
}

/* "&, Room 12, ...": up to the comma; "&" stands for the login name, with a capital. */
static char *
gecos_name(const char *gecos, const char *login)
{
	struct buf name = { 0 };
	char *text;

	for (size_t i = 0; gecos[i] != '\0' && gecos[i] != ',' && name.len < NAME_MAX_OCTETS; i++) {
		if (gecos[i] != '&') {
			buf_append(&name, &gecos[i], 1);
		} else if (login[0] != '\0') {
			char first = (char)toupper((unsigned char)login[0]);

			buf_append(&name, &first, 1);
			buf_append_text(&name, login + 1);
		}
	}
	text = mem_strdup(buf_text(&name));
	buf_free(&name);
	return text;
}

char *
sendmail_full_name(const char *login)
{
	const char *name = getenv("NAME");
	const struct passwd *account;

	if (name != NULL && name[0] != '\0')
		return mem_strdup(name);
	account = getpwuid(getuid());
	if (account == NULL || account->pw_gecos == NULL)
		return mem_strdup("");
	return gecos_name(account->pw_gecos, login);
}

/* --- the field --- */

static bool
is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	/* What looks like an encoded word would be shown as what it stands for. */
	return memmem(text, len, "=?", 2) == NULL;
}

/* Words of RFC 5322 atext with one blank between them need no quotes. */
static bool
is_phrase(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && strchr("!#$%&'*+-/=?^_`{|}~ ", text[i]) ==
		    NULL)
			return false;
	return true;
}

static void
append_quoted(struct buf *out, const char *text, size_t len)
{
	buf_append(out, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			buf_append(out, "\\", 1);
		buf_append(out, &text[i], 1);
	}
	buf_append(out, "\"", 1);
}

/* The q encoding as RFC 2047 5 (3) allows it in a phrase.  A character is not cut in two. */
static void
append_encoded(struct buf *out, const char *text, size_t len)
{
	const char *charset = text_utf8_valid(text, len) ? "utf-8" : "iso-8859-1";
	size_t used;

	for (size_t done = 0; done < len; done += used) {
		used = len - done;
		if (used > WORD_OCTETS)
			used = text_utf8_cut(text + done, used, WORD_OCTETS);
		if (used == 0)
			used = WORD_OCTETS;
		buf_appendf(out, "%s=?%s?q?", done > 0 ? "\r\n " : "", charset);
		for (size_t i = done; i < done + used; i++) {
			if (isalnum((unsigned char)text[i]) && (unsigned char)text[i] < 0x80)
				buf_append(out, &text[i], 1);
			else if (text[i] == ' ')
				buf_append(out, "_", 1);
			else
				buf_appendf(out, "=%02X", (unsigned char)text[i]);
		}
		buf_append_text(out, "?=");
	}
}

static void
append_name(struct buf *out, const char *name)
{
	size_t len = strlen(name);

	if (len > NAME_MAX_OCTETS)
		len = text_utf8_cut(name, len, NAME_MAX_OCTETS);
	while (len > 0 && name[len - 1] == ' ')
		len--;
	if (!is_plain(name, len))
		append_encoded(out, name, len);
	else if (is_phrase(name, len))
		buf_append(out, name, len);
	else
		append_quoted(out, name, len);
}

void
sendmail_append_from(struct buf *out, const char *full_name, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	while (*full_name == ' ')
		full_name++;
	address_text(address, text);
	buf_append_text(out, "From: ");
	if (full_name[0] == '\0') {
		buf_appendf(out, "%s\r\n", text);
		return;
	}
	append_name(out, full_name);
	buf_appendf(out, "%s<%s>\r\n", strlen(full_name) > 40 ? "\r\n " : " ", text);
}

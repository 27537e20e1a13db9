/* pattern.c - patterns of addresses in routes: "*@work.example.org", "ann+*@example.org". */
#include "conf/pattern.h"

#include "base/error.h"
#include "base/text.h"

#include <string.h>

#define ALLOWED                                                                         \
	"allowed are \"ann@example.org\", \"ann+*@example.org\", \"*@*.example.org\", " \
	"\"*\" for all, \"<>\" for the null sender"
#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"

static bool
refuse(struct error *err, const char *text, const char *why)
{
	return error_set(err, ERROR_CONFIG, "\"%s\" %s, " ALLOWED, text, why);
}

static size_t
count_of(const char *text, size_t len, char c)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += text[i] == c;
	return count;
}

/* Whether each octet is one of `set` or beyond ASCII. */
static bool
consists_of(const char *text, size_t len, const char *set)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x80 && strchr(set, text[i]) == NULL)
			return false;
	return true;
}

/* RFC 5321 4.1.2: a Dot-string; in a Quoted-string all may stand, its end too behind a star. */
static bool
local_can_be(const char *local, size_t len)
{
	return len > 0 && len - count_of(local, len, '*') <= ADDRESS_LOCAL_MAX &&
	    (local[0] == '"' || consists_of(local, len, LETTERS "!#$%&'*+-/=?^_`{|}~."));
}

/* One label into `out`, a U-label as its A-label (RFC 5890). */
static bool
label_parse(const char *label, size_t len, char out[ADDRESS_DOMAIN_MAX + 1])
{
	struct address address = { .local = "", .domain = "" };

	if (len == 0 || len > ADDRESS_DOMAIN_MAX)
		return false;
	memcpy(address.domain, label, len);
	memcpy(out, address.domain, len + 1);
	/* Half of a U-label has no A-label. */
	if (!address_is_ascii(&address))
		return memchr(label, '*', len) == NULL && address_domain_ascii(&address, out);
	return true;
}

/* Label by label: a star among them is no name that IDNA would take. */
static bool
domain_parse(const char *domain, char out[ADDRESS_DOMAIN_MAX + PATTERN_STARS + 1])
{
	size_t used = 0;

	if (domain[0] == '[') {
		text_copy(out, ADDRESS_DOMAIN_MAX + PATTERN_STARS + 1, domain);
		return strlen(domain) <= ADDRESS_DOMAIN_MAX &&
		    consists_of(domain, strlen(domain), LETTERS "[]:.*");
	}
	if (!consists_of(domain, strlen(domain), LETTERS "-_.*"))
		return false;
	for (;;) {
		size_t len = strcspn(domain, ".");
		char label[ADDRESS_DOMAIN_MAX + 1];

		if (!label_parse(domain, len, label) ||
		    used + strlen(label) > ADDRESS_DOMAIN_MAX + PATTERN_STARS)
			return false;
		memcpy(out + used, label, strlen(label) + 1);
		used += strlen(label);
		domain += len;
		if (*domain++ == '\0')
			return used - count_of(out, used, '*') <= ADDRESS_DOMAIN_MAX;
		out[used++] = '.';
	}
}

bool
pattern_parse(const char *text, char out[PATTERN_MAX + 1], struct error *err)
{
	char lower[PATTERN_MAX + 1], domain[ADDRESS_DOMAIN_MAX + PATTERN_STARS + 1], *at;
	size_t local_len;

	if (strlen(text) > PATTERN_MAX)
		return error_set(err, ERROR_CONFIG, "longer than %d octets", PATTERN_MAX);
	if (!text_utf8_valid(text, strlen(text)))
		return error_set(err, ERROR_CONFIG, "not valid UTF-8");
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return error_set(err, ERROR_CONFIG, "a control character, " ALLOWED);
	text_copy(lower, sizeof(lower), text);
	text_lower(lower);
	if (strcmp(lower, "*") == 0 || strcmp(lower, "<>") == 0 || strcmp(lower, "postmaster") == 0)
		return text_copy(out, PATTERN_MAX + 1, lower) == out;
	if (count_of(text, strlen(text), '*') > PATTERN_STARS)
		return refuse(err, text, "has more than three stars");
	at = strrchr(lower, '@');
	if (at == NULL)
		return refuse(err, text, "has no @");
	local_len = (size_t)(at - lower);
	if (!local_can_be(lower, local_len) || !domain_parse(at + 1, domain))
		return refuse(err, text, "is no pattern that an address could match");
	memcpy(out, lower, local_len + 1);
	text_copy(out + local_len + 1, PATTERN_MAX - local_len, domain);
	return true;
}

void
pattern_subject(struct pattern_subject *out, const struct address *address)
{
	text_copy(out->local, sizeof(out->local), address->local);
	if (!address_domain_ascii(address, out->domain))
		text_copy(out->domain, sizeof(out->domain), address->domain);
	text_lower(out->local);
	text_lower(out->domain);
}

/* Only the latest star has to be tried again: what the ones before it took can stay. */
static bool
glob(const char *pattern, size_t len, const char *text)
{
	size_t at = 0, star = SIZE_MAX;
	const char *resume = text;

	while (*text != '\0') {
		if (at < len && pattern[at] == '*') {
			star = at++;
			resume = text;
		} else if (at < len && pattern[at] == *text) {
			at++;
			text++;
		} else if (star != SIZE_MAX) {
			at = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (at < len && pattern[at] == '*')
		at++;
	return at == len;
}

bool
pattern_match(const char *pattern, const struct pattern_subject *subject)
{
	const char *at = strrchr(pattern, '@');

	if (strcmp(pattern, "*") == 0)
		return true;
	if (strcmp(pattern, "<>") == 0)
		return subject->local[0] == '\0' && subject->domain[0] == '\0';
	if (at == NULL)
		return subject->domain[0] == '\0' && strcmp(pattern, subject->local) == 0;
	return subject->domain[0] != '\0' &&
	    glob(pattern, (size_t)(at - pattern), subject->local) &&
	    glob(at + 1, strlen(at + 1), subject->domain);
}

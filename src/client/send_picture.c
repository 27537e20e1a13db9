/* send_picture.c - the pictures that an HTML refers to, which travel with it. */
#include "client/send_picture.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client_html.h"
#include "client/send_option.h"
#include "client/send_type.h"

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

#define BLANKS	" \t\r\n\f"	/* that may stand around a URL: the HTML standard, 2.4.1 */
#define CID_MAX	200		/* octets; "Content-ID: <...>" stays far below 998 */

/* --- the files --- */

static void
begin(struct send_pictures *pictures)
{
	if (pictures->by_file != NULL)
		return;
	pictures->by_file = map_new();
	pictures->by_cid = map_new();
	pictures->by_path = map_new();
}

static char *
new_cid(const struct send_pictures *pictures)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort();	/* the kernel has none: there is no such Linux */
	return mem_printf("picture%zu.%016" PRIx64 "%s", pictures->count + 1, random,
	    pictures->cid_tail);
}

static void
add(struct send_pictures *pictures, struct send_picture *picture, const char *key)
{
	if ((pictures->count & (pictures->count - 1)) == 0)
		pictures->items = mem_grow(pictures->items,
		    pictures->count == 0 ? 1 : pictures->count * 2, sizeof(*pictures->items));
	pictures->items[pictures->count++] = picture;
	map_put(pictures->by_file, key, picture);
	map_put(pictures->by_cid, picture->cid, picture);
}

/* The file at `path`, looked at; taken up if it is new, with the id or one that is made.
 * `must_be_picture`, of one that is new.  NULL: a fault. */
static struct send_picture *
take(struct send_pictures *pictures, const char *path, const char *cid, bool must_be_picture,
    struct send_fault *fault)
{
	char head[SEND_HEAD_MAX], key[64], shown[320];
	struct send_picture *picture = map_get(pictures->by_path, path);
	struct send_file file;
	const char *type;
	size_t head_len;
	bool is_utf8;

	if (picture != NULL)
		return picture;
	if (!send_file_look(&file, path, head, &head_len, fault))
		return NULL;
	snprintf(key, sizeof(key), "%ju:%ju", (uintmax_t)file.device, (uintmax_t)file.inode);
	picture = map_get(pictures->by_file, key);
	if (picture == NULL) {
		type = send_type_of_picture(head, head_len);
		if (type == NULL && must_be_picture) {
			send_fault_set(fault, EX_DATAERR, "%s is no picture by its content; "
			    "--inline takes it all the same", send_shown(shown, path));
			return NULL;
		}
		picture = mem_zalloc(sizeof(*picture));
		picture->file = file;
		picture->path = mem_strdup(path);
		picture->file.path = picture->path;
		picture->type = type != NULL ? type :
		    send_type_of_file(path, head, head_len, &is_utf8);
		picture->cid = cid != NULL ? mem_strdup(cid) : new_cid(pictures);
		add(pictures, picture, key);
	}
	map_put(pictures->by_path, path, picture);
	return picture;
}

void
send_pictures_free(struct send_pictures *pictures)
{
	for (size_t i = 0; i < pictures->count; i++) {
		free(pictures->items[i]->path);
		free(pictures->items[i]->cid);
		free(pictures->items[i]);
	}
	free(pictures->items);
	map_free(pictures->by_file);
	map_free(pictures->by_cid);
	map_free(pictures->by_path);
	*pictures = (struct send_pictures){ 0 };
}

/* --- --inline --- */

/* What may stand between < and > and in a URL: RFC 2392 wants an addr-spec, people write names. */
static bool
is_cid(const char *text)
{
	const size_t len = strlen(text);

	for (const char *at = text; *at != '\0'; at++)
		if (!g_ascii_isalnum(*at) && strchr("@.!#$%&'*+-/=?^_`{|}~", *at) == NULL)
			return false;
	return len > 0 && len <= CID_MAX;
}

static bool
name_one(struct send_pictures *pictures, const char *value, struct send_fault *fault)
{
	const char *equals = access(value, F_OK) == 0 ? NULL : strrchr(value, '=');
	const char *cid = equals != NULL ? equals + 1 : NULL;
	const struct send_picture *picture;
	char shown[320];
	char *path;

	if (cid != NULL && !is_cid(cid))
		return send_fault_set(fault, EX_DATAERR, "--inline %s: the id behind \"=\" has "
		    "letters, digits and .-_@ and at most %d octets", send_shown(shown, value),
		    CID_MAX);
	if (cid != NULL && map_get(pictures->by_cid, cid) != NULL)
		return send_fault_set(fault, EX_USAGE, "--inline %s: there are two of this id",
		    send_shown(shown, value));
	path = mem_strndup(value, equals != NULL ? (size_t)(equals - value) : strlen(value));
	picture = take(pictures, path, cid, false, fault);
	free(path);
	if (picture == NULL)
		return false;
	if (cid != NULL && strcmp(picture->cid, cid) != 0)
		return send_fault_set(fault, EX_USAGE, "--inline %s: the file has an id already",
		    send_shown(shown, value));
	return true;
}

bool
send_pictures_name(struct send_pictures *pictures, const struct send_list *inlines,
    struct send_fault *fault)
{
	begin(pictures);
	for (size_t i = 0; i < inlines->count; i++)
		if (!send_option_check_path("--inline", inlines->items[i], fault) ||
		    !name_one(pictures, inlines->items[i], fault))
			return false;
	return true;
}

/* --- references --- */

/* RFC 3986 3.1; the reference is trimmed. */
static bool
has_scheme(const char *reference)
{
	size_t len = 0;

	if (!g_ascii_isalpha(*reference))
		return false;
	while (g_ascii_isalnum(reference[len]) ||
	    (reference[len] != '\0' && strchr("+-.", reference[len]) != NULL))
		len++;
	return reference[len] == ':';
}

static const char *
behind_file_scheme(const char *reference)
{
	if (g_ascii_strncasecmp(reference, "file:", 5) != 0)
		return NULL;
	reference += 5;
	if (strncmp(reference, "//", 2) != 0)
		return *reference == '/' ? reference : NULL;
	reference += 2;
	if (g_ascii_strncasecmp(reference, "localhost/", 10) == 0)
		reference += 9;
	return *reference == '/' ? reference : NULL;
}

/* URLs have no tabs and line ends: the URL standard, 4.4. */
static void
append_unescaped(struct buf *out, const char *text, size_t len)
{
	char octet;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && g_ascii_isxdigit(text[i + 1]) &&
		    g_ascii_isxdigit(text[i + 2])) {
			octet = (char)(g_ascii_xdigit_value(text[i + 1]) * 16 +
			    g_ascii_xdigit_value(text[i + 2]));
			buf_append(out, &octet, 1);
			i += 2;
		} else if (memchr("\t\r\n", text[i], 3) == NULL)
			buf_append(out, text + i, 1);
	}
}

bool
send_picture_path(const char *reference, const char *base, struct buf *out)
{
	const char *path;
	size_t len;

	reference += strspn(reference, BLANKS);
	path = behind_file_scheme(reference);
	if (path == NULL && (has_scheme(reference) || strncmp(reference, "//", 2) == 0))
		return false;
	path = path != NULL ? path : reference;
	len = strcspn(path, "?#");
	while (len > 0 && strchr(BLANKS, path[len - 1]) != NULL)
		len--;
	if (len == 0)
		return false;
	buf_clear(out);
	if (*path != '/' && base != NULL) {
		buf_append_text(out, base);
		buf_append_text(out, "/");
	}
	append_unescaped(out, path, len);
	return true;
}

/* --- the HTML --- */

struct embedding {
	struct send_pictures *pictures;
	const char *html_file;
	char *base;			/* folder of the HTML; NULL: where we are */
	const struct buf *html;
	struct buf *out;
	uint64_t done;			/* octets of the HTML that are in `out`, or are replaced */
	uint64_t counted;		/* octets up to which lines are counted */
	unsigned long line;
	bool is_remote;			/* <base href="https://...">: nothing relative is here */
	struct buf value, path;
	struct send_fault *fault;
};

static unsigned long
line_at(struct embedding *self, uint64_t offset)
{
	const char *octets = buf_octets(self->html);

	for (; self->counted < offset; self->counted++)
		self->line += octets[self->counted] == '\n';
	return self->line;
}

static bool
tell_where(struct embedding *self, const struct send_fault *inner, uint64_t offset)
{
	char shown[320];

	return send_fault_set(self->fault, inner->exit_code, "%s:%lu: %s",
	    strcmp(self->html_file, "-") == 0 ? "standard input" :
	    send_shown(shown, self->html_file), line_at(self, offset), inner->text);
}

static void
copy_up_to(struct embedding *self, uint64_t end)
{
	buf_append(self->out, buf_octets(self->html) + self->done, (size_t)(end - self->done));
	self->done = end;
}

/* So that it may stand in any value, with quotes of any kind or without. */
static void
append_cid_url(struct buf *out, const char *cid)
{
	buf_append_text(out, "cid:");
	for (; *cid != '\0'; cid++)
		if (g_ascii_isalnum(*cid) || strchr("@.-_~!$*+", *cid) != NULL)
			buf_append(out, cid, 1);
		else
			buf_appendf(out, "%%%02X", (unsigned)(unsigned char)*cid);
}

static void
look_at(struct embedding *self, const struct client_html_tag *tag, const char *attribute)
{
	const struct client_html_attribute *found = client_html_find(tag, attribute);
	struct send_fault inner = { 0 };
	const struct send_picture *picture;

	if (self->fault->is_set || found == NULL || found->len == 0)
		return;
	if (!client_html_value(tag, found, &self->value))
		return;		/* too long to be a path: a data: URL */
	if (!send_picture_path(buf_text(&self->value), self->base, &self->path))
		return;
	if (self->is_remote && !has_scheme(buf_text(&self->value) +
	    strspn(buf_text(&self->value), BLANKS)))
		return;
	if (memchr(buf_octets(&self->path), '\0', self->path.len) != NULL) {
		send_fault_set(&inner, EX_DATAERR, "a file name with a NUL");
		tell_where(self, &inner, tag->first);
		return;
	}
	picture = take(self->pictures, buf_text(&self->path), NULL, true, &inner);
	if (picture == NULL) {
		tell_where(self, &inner, tag->first);
		return;
	}
	copy_up_to(self, found->first);
	append_cid_url(self->out, picture->cid);
	self->done = found->end;
}

static bool
is_picture_input(struct embedding *self, const struct client_html_tag *tag)
{
	const struct client_html_attribute *type = client_html_find(tag, "type");

	return type != NULL && client_html_value(tag, type, &self->value) &&
	    text_equal(buf_text(&self->value), "image");
}

static void
look_at_base(struct embedding *self, const struct client_html_tag *tag)
{
	const struct client_html_attribute *href = client_html_find(tag, "href");
	const char *folder;

	if (href == NULL || !client_html_value(tag, href, &self->value))
		return;
	folder = buf_text(&self->value) + strspn(buf_text(&self->value), BLANKS);
	self->is_remote = self->is_remote || has_scheme(folder) || text_has_prefix(folder, "//");
}

static void
on_tag(void *owner, const struct client_html_tag *tag)
{
	struct embedding *self = owner;

	if (tag->is_close)
		return;
	if (strcmp(tag->name, "img") == 0 ||
	    (strcmp(tag->name, "input") == 0 && is_picture_input(self, tag)))
		look_at(self, tag, "src");
	else if (strcmp(tag->name, "body") == 0 || strcmp(tag->name, "table") == 0 ||
	    strcmp(tag->name, "td") == 0 || strcmp(tag->name, "th") == 0)
		look_at(self, tag, "background");
	else if (strcmp(tag->name, "base") == 0)
		look_at_base(self, tag);
}

static void
on_text(void *owner, const char *octets, size_t len, const char *raw_element)
{
	(void)owner;
	(void)octets;
	(void)len;
	(void)raw_element;
}

bool
send_pictures_embed(struct send_pictures *pictures, const char *html_file,
    const struct buf *html, struct buf *out, struct send_fault *fault)
{
	static const struct client_html_events events = { .on_text = on_text, .on_tag = on_tag };
	struct embedding self = {
		.pictures = pictures, .html_file = html_file, .html = html, .out = out, .line = 1,
		.fault = fault,
	};
	const char *slash = strrchr(html_file, '/');
	struct client_html *reader;

	begin(pictures);
	if (slash != NULL)
		self.base = mem_strndup(html_file, (size_t)(slash - html_file));
	reader = client_html_new(&events, &self);
	client_html_feed(reader, buf_octets(html), html->len);
	client_html_end(reader);
	client_html_free(reader);
	if (!fault->is_set)
		copy_up_to(&self, html->len);
	free(self.base);
	buf_free(&self.value);
	buf_free(&self.path);
	return !fault->is_set;
}

/* send_body.c - what a mail holds: text, HTML with its pictures, attachments. */
#include "client/send_body.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client_html_text.h"
#include "client/send_option.h"
#include "client/send_part.h"
#include "client/send_type.h"

#include <gmime/gmime.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define COLUMNS		78	/* RFC 5322 2.1.1: what a text line should hold at most */

struct send_attachment {
	struct send_file file;
	char *path, *type, *name;
};

/* --- names --- */

/* Of a path its last part, in UTF-8: what is not becomes U+FFFD. */
static char *
name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return g_utf8_make_valid(slash != NULL ? slash + 1 : path, -1);
}

/* --- attachments --- */

/* Behind FILE of "FILE;TYPE" its ";": the first behind which there is a type, so that names
 * may have some; NULL: it is all FILE. */
static const char *
find_type(const char *value)
{
	const char *semicolon = strchr(value, ';');

	if (access(value, F_OK) == 0)
		return NULL;
	while (semicolon != NULL &&
	    !send_type_is_valid(semicolon + 1 + strspn(semicolon + 1, " ")))
		semicolon = strchr(semicolon + 1, ';');
	return semicolon;
}

static bool
look_at_attachment(struct send_attachment *out, const char *value, struct send_fault *fault)
{
	const char *semicolon = find_type(value), *type;
	char head[SEND_HEAD_MAX], shown[320];
	size_t head_len;
	bool is_utf8;

	out->path = mem_strndup(value, semicolon != NULL ? (size_t)(semicolon - value) :
	    strlen(value));
	if (!send_file_look(&out->file, out->path, head, &head_len, fault))
		return false;
	out->name = name_of(out->path);
	if (semicolon == NULL) {
		type = send_type_of_file(out->path, head, head_len, &is_utf8);
		is_utf8 = is_utf8 && send_file_is_utf8(&out->file, fault);
		out->type = mem_printf("%s%s", type, is_utf8 ? "; charset=utf-8" : "");
		return !fault->is_set;
	}
	out->type = mem_strdup(semicolon + 1 + strspn(semicolon + 1, " "));
	if (strlen(out->type) > 500 || !send_type_is_leaf(out->type))
		return send_fault_set(fault, EX_USAGE, "--attach %s: a file cannot be sent as "
		    "this type", send_shown(shown, value));
	return true;
}

static bool
look_at_attachments(struct send_body *body, const struct send_list *values,
    struct send_fault *fault)
{
	body->attachments = mem_array(values->count, sizeof(*body->attachments));
	for (size_t i = 0; i < values->count; i++) {
		struct send_attachment *attachment = &body->attachments[body->attachment_count++];

		if (!send_option_check_path("--attach", values->items[i], fault) ||
		    !look_at_attachment(attachment, values->items[i], fault))
			return false;
	}
	return true;
}

/* --- text and HTML --- */

static void
append_text(void *owner, const char *octets, size_t len)
{
	buf_append(owner, octets, len);
}

static void
text_of_html(struct buf *out, const struct buf *html)
{
	struct client_html_text *text = client_html_text_new(COLUMNS, append_text, out);

	client_html_text_feed(text, buf_octets(html), html->len);
	client_html_text_end(text);
	client_html_text_free(text);
}

static GMimeObject *
related(struct send_body *body, const struct buf *html, struct send_fault *fault)
{
	const size_t count = body->pictures.count + 1;
	GMimeObject **parts = mem_array(count, sizeof(GMimeObject *)), *result;

	parts[0] = send_part_of_text("html", html);
	for (size_t i = 1; i < count; i++) {
		const struct send_picture *picture = body->pictures.items[i - 1];
		char *name = name_of(picture->path);

		parts[i] = send_part_of_file(&picture->file, picture->type, name, picture->cid,
		    fault);
		g_free(name);
	}
	result = count == 1 ? parts[0] :
	    send_part_of_parts("related", "text/html", parts, count);
	free(parts);
	return result;
}

/* The text in the mail, of what there is; NULL: none, or a fault. */
static GMimeObject *
readable(struct send_body *body, const struct send_request *request, struct send_fault *fault)
{
	struct buf text = { 0 }, html = { 0 }, embedded = { 0 };
	GMimeObject *parts[2] = { NULL, NULL };

	if (request->text_file != NULL && !send_file_text(request->text_file, &text, fault))
		goto done;
	if (request->html_file != NULL) {
		if (!send_file_text(request->html_file, &html, fault) ||
		    !send_pictures_name(&body->pictures, &request->inlines, fault) ||
		    !send_pictures_embed(&body->pictures, request->html_file, &html, &embedded,
		    fault))
			goto done;
		if (request->text_file == NULL)
			text_of_html(&text, &html);
		parts[1] = related(body, &embedded, fault);
	}
	if (request->text_file != NULL || request->html_file != NULL ||
	    request->attachments.count == 0)
		parts[0] = send_part_of_text("plain", &text);
done:
	buf_free(&text);
	buf_free(&html);
	buf_free(&embedded);
	if (parts[1] == NULL)
		return parts[0];
	return send_part_of_parts("alternative", NULL, parts, 2);
}

static bool
check(const struct send_request *request, struct send_fault *fault)
{
	if (request->inlines.count > 0 && request->html_file == NULL)
		return send_fault_set(fault, EX_USAGE, "--inline is for the pictures of --html");
	if (request->text_file != NULL && request->html_file != NULL &&
	    strcmp(request->text_file, "-") == 0 && strcmp(request->html_file, "-") == 0)
		return send_fault_set(fault, EX_USAGE, "only one of --text and --html can be -");
	if (request->text_file != NULL &&
	    !send_option_check_path("--text", request->text_file, fault))
		return false;
	return request->html_file == NULL ||
	    send_option_check_path("--html", request->html_file, fault);
}

bool
send_body_make(struct send_body *body, const struct send_request *request, const char *domain,
    struct send_fault *fault)
{
	GMimeObject **parts, *text;
	size_t count = 0;

	/* An address literal has brackets, which a URL would have to escape. */
	body->cid_tail = mem_printf("@%s", domain[0] != '[' ? domain : "localhost");
	body->pictures.cid_tail = body->cid_tail;
	if (!check(request, fault) || !look_at_attachments(body, &request->attachments, fault))
		return false;
	text = readable(body, request, fault);
	if (fault->is_set) {
		if (text != NULL)
			g_object_unref(text);
		return false;
	}
	parts = mem_array(body->attachment_count + 1, sizeof(GMimeObject *));
	if (text != NULL)
		parts[count++] = text;
	for (size_t i = 0; i < body->attachment_count; i++) {
		const struct send_attachment *attachment = &body->attachments[i];

		parts[count++] = send_part_of_file(&attachment->file, attachment->type,
		    attachment->name, NULL, fault);
	}
	body->root = count == 1 ? parts[0] : send_part_of_parts("mixed", NULL, parts, count);
	free(parts);
	return true;
}

void
send_body_free(struct send_body *body)
{
	if (body->root != NULL)
		g_object_unref(body->root);
	send_pictures_free(&body->pictures);
	for (size_t i = 0; i < body->attachment_count; i++) {
		free(body->attachments[i].path);
		free(body->attachments[i].type);
		g_free(body->attachments[i].name);
	}
	free(body->attachments);
	free(body->cid_tail);
	*body = (struct send_body){ 0 };
}

/* --- for people --- */

static void
describe(struct buf *out, GMimeObject *object, unsigned depth)
{
	GMimeContentType *type = g_mime_object_get_content_type(object);
	char *text = g_mime_content_type_get_mime_type(type), shown[400];
	const char *name, *cid;

	buf_appendf(out, "%*s%s", (int)(2 * depth), "", text);
	g_free(text);
	if (GMIME_IS_MULTIPART(object)) {
		buf_append_text(out, "\n");
		for (int i = 0; i < g_mime_multipart_get_count(GMIME_MULTIPART(object)); i++)
			describe(out, g_mime_multipart_get_part(GMIME_MULTIPART(object), i),
			    depth + 1);
		return;
	}
	name = g_mime_part_get_filename(GMIME_PART(object));
	cid = g_mime_object_get_content_id(object);
	if (name != NULL)
		buf_appendf(out, " \"%s\"",
		    text_printable_utf8(shown, sizeof(shown), name, strlen(name)));
	if (cid != NULL)
		buf_appendf(out, " <%s>", cid);
	buf_appendf(out, ", %" PRId64 " octets\n", g_mime_stream_length(
	    g_mime_data_wrapper_get_stream(g_mime_part_get_content(GMIME_PART(object)))));
}

char *
send_body_tree(const struct send_body *body)
{
	struct buf out = { 0 };
	char *tree;

	describe(&out, body->root, 0);
	tree = mem_strndup(buf_octets(&out), out.len);
	buf_free(&out);
	return tree;
}

/* config_file.c - a conffile as libconfuse reads it: blocks of keys, texts not yet judged. */
#include "conf/config_file.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_source.h"
#include "conf/config_table.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INCLUDE_DEPTH 8
#define TITLE_MAX     32
/* A key that no conffile can name.  Its default is parsed when a block opens: that is
 * how we learn of the block, and of its line. */
#define OPENED "\001"

struct parser {
	struct config_file *file;
	struct error *err;
	bool failed;
	unsigned depth;		  /* of include() */
	const struct buf *source; /* the file that is read now */
	cfg_opt_t *options;	  /* of the top level; blocks have theirs in subopts */
};

/* libconfuse gives its callbacks no argument, and its lexer is one for the process: so is this. */
static struct parser *parser;

static int parse_file(cfg_t *cfg, const char *path);

static int
fail_at(const char *path, unsigned line)
{
	error_prefix(parser->err, "%s:%u", path, line);
	parser->failed = true;
	return -1;
}

static int
fail(cfg_t *cfg)
{
	return fail_at(cfg->filename, (unsigned)cfg->line);
}

static struct config_block *
block_find(const cfg_t *cfg)
{
	struct config_block *block;

	STAILQ_FOREACH(block, parser->file, next)
		if (block->section == cfg)
			return block;
	return NULL;
}

/* "listen, text, file", or the names of the blocks. */
static void
list_names(const struct config_type *type, char *out, size_t size)
{
	struct buf names = { 0 };

	for (const struct config_key *key = type->keys; key->name != NULL; key++)
		if (!key->later)
			buf_appendf(&names, "%s%s", names.len > 0 ? ", " : "", key->name);
	if (type == config_types)
		for (const struct config_type *t = config_types + 1; t->name != NULL; t++)
			if (!t->later)
				buf_appendf(&names, ", %s {}", t->name);
	if (type == config_types)
		buf_append_text(&names, ", include()");
	text_copy(out, size, buf_text(&names));
	buf_free(&names);
}

static void
name_is_unknown(cfg_t *cfg, const char *name)
{
	const struct config_block *block = block_find(cfg);
	char names[384], printable[64];

	list_names(block->type, names, sizeof(names));
	text_printable_utf8(printable, sizeof(printable), name, strlen(name));
	error_set(
	    parser->err, ERROR_CONFIG, "unknown key \"%s\", allowed are %s", printable, names);
}

/* What is allowed, behind what libconfuse says. */
static const struct {
	const char *said, *hint;
} hints[] = {
	{ "missing equal sign", "KEY = VALUE" },
	{ "attempt to append", "KEY = VALUE" },
	{ "missing title", "BLOCK NAME { … }" },
	{ "missing opening brace", "BLOCK { … }" },
	{ "unexpected token '{'", "a single value" },
	{ "unexpected closing brace", "KEY = VALUE or BLOCK { … }" },
	{ "unexpected token", "KEY = VALUE, KEY = {\"A\", \"B\"} or BLOCK { … }" },
};

static void __attribute__((format(printf, 2, 0))) on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	static const char unknown[] = "no such option '";
	char said[128], printable[160];
	size_t i = 0;

	if (parser->failed)
		return;
	vsnprintf(said, sizeof(said), fmt, ap);
	if (text_has_prefix(said, unknown)) {
		said[strlen(said) - 1] = '\0';
		name_is_unknown(cfg, said + strlen(unknown));
	} else {
		text_printable_utf8(printable, sizeof(printable), said, strlen(said));
		while (
		    i < sizeof(hints) / sizeof(hints[0]) && !text_has_prefix(said, hints[i].said))
			i++;
		if (i < sizeof(hints) / sizeof(hints[0]))
			error_set(parser->err, ERROR_CONFIG, "%s, allowed is %s", printable,
			    hints[i].hint);
		else
			error_set(parser->err, ERROR_CONFIG, "%s", printable);
	}
	fail(cfg);
}

/* Where the value begins: libconfuse has counted its lines already. */
static unsigned
value_line(const cfg_t *cfg, const char *value)
{
	if (strchr(value, '\n') == NULL)
		return (unsigned)cfg->line;
	return config_string_line(
	    buf_octets(parser->source), parser->source->len, (unsigned)cfg->line);
}

static struct config_entry *
entry_add(struct config_block *block, const struct config_key *key, unsigned line)
{
	struct config_entry *entry = mem_zalloc(sizeof(*entry));

	entry->key = key;
	entry->line = line;
	STAILQ_INSERT_TAIL(&block->entries, entry, next);
	return entry;
}

const struct config_entry *
config_entry_find(const struct config_block *block, const char *name)
{
	struct config_entry *entry;

	STAILQ_FOREACH(entry, &block->entries, next)
		if (strcmp(entry->key->name, name) == 0)
			return entry;
	return NULL;
}

/* Each value of a key, as it is read. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct config_block *block = block_find(cfg);
	const struct config_key *key = config_key_find(block->type, opt->name);
	unsigned line = value_line(cfg, value);
	struct config_entry *entry;

	if (parser->failed)
		return -1;
	if (key->later) {
		error_set(parser->err, ERROR_CONFIG, "%s: not yet supported", key->name);
		return fail_at(cfg->filename, line);
	}
	entry = (struct config_entry *)(uintptr_t)config_entry_find(block, opt->name);
	/* The first value after "=": libconfuse would forget what stood before. */
	if (entry != NULL && (!key->is_list || opt->nvalues == 1)) {
		error_set(parser->err, ERROR_CONFIG, "%s stands twice, first in line %u", key->name,
		    entry->line);
		return fail_at(cfg->filename, line);
	}
	if (entry == NULL)
		entry = entry_add(block, key, line);
	entry->values = mem_grow(entry->values, entry->count + 1, sizeof(*entry->values));
	entry->values[entry->count++] = mem_strdup(value);
	*(const char **)result = value;
	return 0;
}

static bool
title_is_good(const char *title)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t len = strlen(title);

	return len > 0 && len <= TITLE_MAX && strspn(title, letters) == len;
}

static bool
block_is_allowed(const struct config_block *block, struct error *err)
{
	const struct config_type *type = block->type;
	const struct config_block *other;

	if (type->later)
		return error_set(err, ERROR_CONFIG, "%s: not yet supported", type->name);
	if (type->titled && !title_is_good(block->title))
		return error_set(err, ERROR_CONFIG,
		    "%s: the name may have letters, digits, _ and -, "
		    "at most %d",
		    type->name, TITLE_MAX);
	STAILQ_FOREACH(other, parser->file, next)
		if (other != block && other->type == type && (type->titled || !type->is_array) &&
		    strcmp(other->title, block->title) == 0)
			return error_set(err, ERROR_CONFIG, "%s%s%s stands twice, first in %s:%u",
			    type->name, type->titled ? " " : "", block->title, other->path,
			    other->line);
	return true;
}

static struct config_block *
block_add(const struct config_type *type, const char *title, const char *path, unsigned line)
{
	struct config_block *block = mem_zalloc(sizeof(*block));

	block->type = type;
	block->title = mem_strdup(title != NULL ? title : "");
	block->path = mem_strdup(path);
	block->line = line;
	STAILQ_INIT(&block->entries);
	STAILQ_INSERT_TAIL(parser->file, block, next);
	return block;
}

static int
on_block(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct config_type *type = config_types + 1;
	struct config_block *block;

	(void)opt;
	while (strcmp(type->name, cfg_name(cfg)) != 0)
		type++;
	block = block_add(type, cfg_title(cfg), cfg->filename, (unsigned)cfg->line);
	block->section = cfg;
	*(const char **)result = value;
	/* libconfuse aborts where a default is refused: on_value() stops it, or parse_file(). */
	if (!parser->failed && !block_is_allowed(block, parser->err))
		fail(cfg);
	return 0;
}

/* A relative name is meant from the folder of the file that names it. */
static char *
include_path(const char *from, const char *name)
{
	const char *slash = strrchr(from, '/');

	if (name[0] == '/' || slash == NULL)
		return mem_strdup(name);
	return mem_printf("%.*s/%s", (int)(slash - from), from, name);
}

static int
on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	char *filename = cfg->filename, *path;
	int line = cfg->line;

	(void)opt;
	if (parser->failed)
		return -1;
	if (argc != 1 || argv[0][0] == '\0') {
		error_set(parser->err, ERROR_CONFIG, "include takes one file name");
		return fail(cfg);
	}
	if (parser->depth == INCLUDE_DEPTH) {
		error_set(
		    parser->err, ERROR_CONFIG, "include stands more than %d deep", INCLUDE_DEPTH);
		return fail(cfg);
	}
	path = include_path(filename, argv[0]);
	parser->depth++;
	if (parse_file(cfg, path) == -1 && !parser->failed) {
		cfg->line = line;
		error_prefix(parser->err, "include \"%s\"", path);
		fail_at(filename, (unsigned)line);
	}
	parser->depth--;
	free(path);
	free(cfg->filename);
	cfg->filename = filename;
	cfg->line = line;
	return parser->failed ? -1 : 0;
}

/* Sets cfg->filename.  -1 with parser->failed unset: the file could not be read. */
static int
parse_file(cfg_t *cfg, const char *path)
{
	const struct buf *includer = parser->source;
	struct buf source = { 0 };
	unsigned line;
	FILE *stream;
	int result = -1;

	cfg->filename = mem_strdup(path);
	parser->source = &source;
	if (!config_read(path, CONFIG_SOURCE_MAX, &source, parser->err))
		goto done;
	/* A file needs an end of line, and a stream in memory at least one octet. */
	buf_append(&source, "\n", 1);
	if (!config_source_check(buf_octets(&source), source.len, &line, parser->err) ||
	    !config_blank_comments(source.octets, source.len, &line, parser->err)) {
		fail_at(path, line);
		goto done;
	}
	stream = fmemopen(source.octets, source.len, "r");
	if (stream == NULL) {
		error_set(parser->err, ERROR_SYSTEM, "cannot read: out of memory");
		goto done;
	}
	cfg->line = 1;
	result = cfg_parse_fp(cfg, stream) == CFG_SUCCESS && !parser->failed ? 0 : -1;
	fclose(stream);
	if (result == -1 && !parser->failed) {
		error_set(parser->err, ERROR_CONFIG, "syntax error");
		fail(cfg);
	}
done:
	parser->source = includer;
	buf_free(&source);
	return result;
}

static cfg_opt_t *
options_of(const struct config_type *type, size_t more)
{
	size_t count = 0;
	cfg_opt_t *options;

	while (type->keys[count].name != NULL)
		count++;
	options = mem_array(count + more + 1, sizeof(*options));
	for (size_t i = 0; i < count; i++) {
		options[i].name = type->keys[i].name;
		options[i].type = CFGT_STR;
		options[i].flags = CFGF_NODEFAULT | (type->keys[i].is_list ? CFGF_LIST : CFGF_NONE);
		options[i].parsecb = on_value;
	}
	return options;
}

static cfg_opt_t *
options_new(void)
{
	static char opened[] = "{x}";
	size_t types = 0;
	cfg_opt_t *options, *option;

	while (config_types[types].name != NULL)
		types++;
	options = options_of(config_types, types);
	for (option = options; option->name != NULL; option++)
		;
	for (size_t i = 1; i < types; i++, option++) {
		size_t keys = 0;

		option->name = config_types[i].name;
		option->type = CFGT_SEC;
		option->flags = CFGF_MULTI | (config_types[i].titled ? CFGF_TITLE : CFGF_NONE);
		option->subopts = options_of(&config_types[i], 1);
		while (option->subopts[keys].name != NULL)
			keys++;
		option->subopts[keys] = (cfg_opt_t){ .name = OPENED,
			.type = CFGT_STR,
			.flags = CFGF_LIST,
			.def = { .parsed = opened },
			.parsecb = on_block };
	}
	*option = (cfg_opt_t){ .name = "include", .type = CFGT_FUNC, .func = on_include };
	return options;
}

static void
options_free(cfg_opt_t *options)
{
	for (cfg_opt_t *option = options; option->name != NULL; option++)
		free(option->subopts);
	free(options);
}

/* Lists that were set to {}: no value told us of them. */
static bool
add_empty_lists(struct config_block *block, struct error *err)
{
	for (const struct config_key *key = block->type->keys; key->name != NULL; key++) {
		const cfg_opt_t *opt = cfg_getopt(block->section, key->name);

		if (!(opt->flags & CFGF_MODIFIED) || config_entry_find(block, key->name) != NULL)
			continue;
		if (key->later) {
			error_set(err, ERROR_CONFIG, "%s: not yet supported", key->name);
			return error_prefix(err, "%s:%u", block->path, block->line);
		}
		entry_add(block, key, block->line);
	}
	return true;
}

static bool
read_into(cfg_t *cfg, const char *path)
{
	struct config_block *block;

	block_add(config_types, "", path, 1)->section = cfg;
	if (parse_file(cfg, path) == -1)
		return parser->failed ? false : error_prefix(parser->err, "%s", path);
	STAILQ_FOREACH(block, parser->file, next) {
		if (!add_empty_lists(block, parser->err))
			return false;
		block->section = NULL;
	}
	return true;
}

struct config_file *
config_file_read(const char *path, struct error *err)
{
	struct parser state = { .err = err };
	cfg_t *cfg;

	state.file = mem_alloc(sizeof(*state.file));
	STAILQ_INIT(state.file);
	state.options = options_new();
	parser = &state;
	cfg = cfg_init(state.options, CFGF_NONE);
	if (cfg == NULL)
		abort();
	cfg_set_error_function(cfg, on_error);
	if (!read_into(cfg, path)) {
		config_file_free(state.file);
		state.file = NULL;
	}
	cfg_free(cfg);
	options_free(state.options);
	parser = NULL;
	return state.file;
}

static void
block_free(struct config_block *block)
{
	struct config_entry *entry;

	while ((entry = STAILQ_FIRST(&block->entries)) != NULL) {
		STAILQ_REMOVE_HEAD(&block->entries, next);
		for (size_t i = 0; i < entry->count; i++)
			free(entry->values[i]);
		free(entry->values);
		free(entry);
	}
	free(block->title);
	free(block->path);
	free(block);
}

void
config_file_free(struct config_file *file)
{
	struct config_block *block;

	if (file == NULL)
		return;
	while ((block = STAILQ_FIRST(file)) != NULL) {
		STAILQ_REMOVE_HEAD(file, next);
		block_free(block);
	}
	free(file);
}

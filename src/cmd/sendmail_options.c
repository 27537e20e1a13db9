/* sendmail_options.c - the command line of sendmail, as its callers have written it for decades. */
#include "cmd/sendmail_options.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Where the value of an option stands.  A value that is optional is never the next word: it
 * would be a recipient. */
enum value_place { NO_VALUE, VALUE, GLUED_VALUE };

/* The words not yet read. */
struct words {
	char **argv;
	int count, next;
};

struct row {
	char letter;
	enum value_place place;
	void (*take)(struct sendmail_options *options, const char *value, struct words *words);
};

static void
ignore(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)options;
	(void)value;
	(void)words;
}

static void
warn_of(struct sendmail_options *options, const char *word)
{
	options->ignored = mem_grow(options->ignored, options->ignored_count + 1,
	    sizeof(*options->ignored));
	options->ignored[options->ignored_count++] = word;
}

static void
add_operand(struct sendmail_options *options, const char *word)
{
	const size_t count = options->operand_count;

	/* A command line may have a hundred thousand of them. */
	if ((count & (count - 1)) == 0)
		options->operands = mem_grow(options->operands, count == 0 ? 1 : count * 2,
		    sizeof(*options->operands));
	options->operands[options->operand_count++] = word;
}

/* --- options that mean something --- */

static void
take_mode(struct sendmail_options *options, const char *value, struct words *words)
{
	static const struct { char letter; enum sendmail_mode mode; const char *refused; }
	modes[] = {
		{ 'm', SENDMAIL_DELIVER, NULL },
		{ 'a', SENDMAIL_DELIVER, NULL },	/* ARPANET: the sender is in the header */
		{ 'p', SENDMAIL_LIST, NULL },
		{ 'P', SENDMAIL_LIST, NULL },
		{ 'i', SENDMAIL_ALIASES, NULL },
		{ 's', SENDMAIL_SMTP, NULL },
		{ 'v', SENDMAIL_VERIFY, NULL },
		{ 'd', SENDMAIL_REFUSED, "-bd" },
		{ 'D', SENDMAIL_REFUSED, "-bD" },
		{ 'l', SENDMAIL_REFUSED, "-bl" },
		{ 't', SENDMAIL_REFUSED, "-bt" },
		{ 'h', SENDMAIL_REFUSED, "-bh" },
		{ 'H', SENDMAIL_REFUSED, "-bH" },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (modes[i].letter != value[0])
			continue;
		options->mode = modes[i].mode;
		options->refused = modes[i].refused;
		return;
	}
	warn_of(options, words->argv[words->next - 1]);
}

static void
take_body(struct sendmail_options *options, const char *value, struct words *words)
{
	if (text_equal(value, "8BITMIME"))
		options->eight_bit = true;
	else if (text_equal(value, "7BIT"))
		options->eight_bit = false;
	else
		warn_of(options, words->argv[words->next - 1]);
}

/* -oi: the dots.  The rest of sendmail's options by letter concern sendmail.  Exim's -oMr and
 * its kin have their value in the next word. */
static void
take_setting(struct sendmail_options *options, const char *value, struct words *words)
{
	const size_t len = strlen(value);

	if (value[0] == 'i' && value[1] == '\0')
		options->ignore_dots = true;
	else if (value[0] == 'M' && len >= 2 && len <= 3 && strspn(value, "Maimrst") == len &&
	    words->next < words->count)
		words->next++;
}

/* sendmail's long names; of them one changes what a message is. */
static void
take_long_setting(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	if (strcasecmp(value, "IgnoreDots") == 0 || strcasecmp(value, "IgnoreDots=true") == 0)
		options->ignore_dots = true;
}

static void
take_flag(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)value;
	(void)words;
	options->from_header = true;
}

static void
take_dots(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)value;
	(void)words;
	options->ignore_dots = true;
}

static void
take_verbose(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)value;
	(void)words;
	options->verbose = true;
}

static void
take_aliases(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)value;
	(void)words;
	options->mode = SENDMAIL_ALIASES;
}

static void
take_sender(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->sender = value;
}

static void
take_full_name(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->full_name = value;
}

static void
take_notify(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->notify = value;
}

static void
take_ret(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->ret = value;
}

static void
take_envid(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->envid = value;
}

static void
take_label(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->label = value;
}

static void
take_queue(struct sendmail_options *options, const char *value, struct words *words)
{
	(void)words;
	options->queue = value;
}

/* What sendmail 8 and Postfix take; which of them have a value is what counts of those ignored. */
static const struct row rows[] = {
	{ 't', NO_VALUE, take_flag },
	{ 'i', NO_VALUE, take_dots },
	{ 'v', NO_VALUE, take_verbose },
	{ 'I', NO_VALUE, take_aliases },
	{ 'b', VALUE, take_mode },
	{ 'B', VALUE, take_body },
	{ 'f', VALUE, take_sender },
	{ 'r', VALUE, take_sender },
	{ 'F', VALUE, take_full_name },
	{ 'N', VALUE, take_notify },
	{ 'R', VALUE, take_ret },
	{ 'V', VALUE, take_envid },
	{ 'L', VALUE, take_label },
	{ 'o', VALUE, take_setting },
	{ 'O', VALUE, take_long_setting },
	{ 'q', GLUED_VALUE, take_queue },	/* when and what to run */
	{ 'A', VALUE, ignore },		/* -Ac, -Am: which sendmail.cf */
	{ 'C', VALUE, ignore },		/* a configuration of sendmail: none is read */
	{ 'D', VALUE, ignore },		/* where debugging goes */
	{ 'M', VALUE, ignore },		/* a macro and its value */
	{ 'X', VALUE, ignore },		/* a log of the traffic */
	{ 'e', VALUE, ignore },		/* -oem and -em: how to tell of errors */
	{ 'h', VALUE, ignore },		/* hops */
	{ 'p', VALUE, ignore },		/* the protocol it came by */
	{ 'Q', GLUED_VALUE, ignore },	/* quarantine, and why */
	{ 'd', GLUED_VALUE, ignore },	/* debugging: "-d0-99.1" */
	{ 'E', GLUED_VALUE, ignore },
	{ 'J', VALUE, ignore },
	{ 'T', GLUED_VALUE, ignore },
	{ 'G', NO_VALUE, ignore },	/* relayed, not new */
	{ 'U', NO_VALUE, ignore },	/* new, not relayed */
	{ 'c', NO_VALUE, ignore },
	{ 'm', NO_VALUE, ignore },	/* the sender, too, where an alias names him */
	{ 'n', NO_VALUE, ignore },	/* no aliases: they are the daemon's to apply */
	{ 's', NO_VALUE, ignore },
	{ 'x', NO_VALUE, ignore },
};

static const struct row *
find(char letter)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].letter == letter)
			return &rows[i];
	return NULL;
}

/* "-ti", "-fADDR", "-f ADDR", "-tif ADDR".  Behind what is not known the rest of the word is
 * left out: nobody knows whether it is a value. */
static void
take_cluster(struct sendmail_options *options, struct words *words)
{
	const char *word = words->argv[words->next++];

	for (const char *at = word + 1; *at != '\0'; at++) {
		const struct row *row = find(*at);
		const char *value = at + 1;

		if (row == NULL) {
			warn_of(options, word);
			return;
		}
		if (row->place == NO_VALUE) {
			row->take(options, "", words);
			continue;
		}
		if (row->place == VALUE && *value == '\0') {
			if (words->next >= words->count) {
				warn_of(options, word);
				return;
			}
			value = words->argv[words->next++];
		}
		row->take(options, value, words);
		return;
	}
}

/* The programs of herald all have these; sendmail's -h and -V want a value, without which and
 * alone they are asked for here. */
static bool
take_information(struct sendmail_options *options, const char *word, int argc)
{
	if (strcmp(word, "--help") == 0 || (argc == 2 && strcmp(word, "-h") == 0))
		options->mode = SENDMAIL_HELP;
	else if (strcmp(word, "--version") == 0 || (argc == 2 && strcmp(word, "-V") == 0))
		options->mode = SENDMAIL_VERSION;
	else
		return false;
	return true;
}

/* mailq, newaliases: by the name it is called by. */
static enum sendmail_mode
mode_of_name(int argc, char **argv)
{
	const char *name = argc > 0 && argv[0] != NULL ? argv[0] : "";
	const char *slash = strrchr(name, '/');

	name = slash != NULL ? slash + 1 : name;
	if (strcmp(name, "mailq") == 0)
		return SENDMAIL_LIST;
	return strcmp(name, "newaliases") == 0 ? SENDMAIL_ALIASES : SENDMAIL_DELIVER;
}

void
sendmail_options_parse(struct sendmail_options *options, int argc, char **argv)
{
	struct words words = { .argv = argv, .count = argc, .next = 1 };
	bool only_operands = false;

	memset(options, 0, sizeof(*options));
	options->mode = mode_of_name(argc, argv);
	while (words.next < argc) {
		const char *word = argv[words.next];

		if (only_operands || word[0] != '-' || word[1] == '\0') {
			add_operand(options, word);
			words.next++;
		} else if (word[1] != '-') {
			if (take_information(options, word, argc))
				return;
			take_cluster(options, &words);
		} else {
			only_operands = word[2] == '\0';
			if (take_information(options, word, argc))
				return;
			if (!only_operands)
				warn_of(options, word);
			words.next++;
		}
	}
	/* A mail that is there is never given up for a run of the queue. */
	if (options->queue != NULL && options->mode == SENDMAIL_DELIVER && !options->from_header &&
	    options->operand_count == 0)
		options->mode = SENDMAIL_FLUSH;
}

void
sendmail_options_clear(struct sendmail_options *options)
{
	free(options->operands);
	free(options->ignored);
	memset(options, 0, sizeof(*options));
}

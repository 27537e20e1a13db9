/* sendmail_options.h - the command line of sendmail, as its callers have written it for decades. */
#ifndef HERALD_CMD_SENDMAIL_OPTIONS_H
#define HERALD_CMD_SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum sendmail_mode {
	SENDMAIL_DELIVER,		/* -bm, and what is not known */
	SENDMAIL_LIST,			/* -bp, mailq */
	SENDMAIL_ALIASES,		/* -bi, -I, newaliases */
	SENDMAIL_SMTP,			/* -bs */
	SENDMAIL_VERIFY,		/* -bv */
	SENDMAIL_FLUSH,			/* -q without recipients */
	SENDMAIL_REFUSED,		/* -bd, -bD, -bt: what herald-sendmail is not */
	SENDMAIL_HELP, SENDMAIL_VERSION,
};

/* Texts are borrowed from argv; NULL: not said. */
struct sendmail_options {
	enum sendmail_mode mode;
	const char *refused;		/* "-bd", with SENDMAIL_REFUSED */
	bool from_header;		/* -t: recipients are in the message, too */
	bool ignore_dots;		/* -i, -oi */
	bool verbose;			/* -v */
	bool eight_bit;			/* -B 8BITMIME */
	const char *sender;		/* -f, -r */
	const char *full_name;		/* -F */
	const char *notify, *ret, *envid;	/* -N, -R, -V */
	const char *label;		/* -L */
	const char *queue;		/* what stands behind -q: "", "30m", "Iid"; NULL: no -q */
	const char **operands;		/* owned; the texts are borrowed */
	size_t operand_count;
	const char **ignored;		/* owned: words with an option that nobody knows */
	size_t ignored_count;
};

/* Takes every command line: what it does not know it puts into `ignored`, as mail must not be
 * lost over an option.  Free by sendmail_options_clear(). */
void sendmail_options_parse(struct sendmail_options *options, int argc, char **argv);
void sendmail_options_clear(struct sendmail_options *options);

#endif

/* smtp_terms.h - what the sessions of a block begin and end with: settings, certificate, users. */
#ifndef HERALD_INTAKE_SMTP_TERMS_H
#define HERALD_INTAKE_SMTP_TERMS_H

struct config;
struct error;
struct submission_config;
struct tls_context;
struct users;

/* Counted: each holder unrefs.  Fields are for reading. */
struct smtp_terms {
	unsigned holders;
	const struct config *config;	/* a reference: `section` is part of it */
	const struct submission_config *section;
	struct tls_context *tls;	/* NULL: none */
	struct users *users;		/* NULL: no AUTH */
};

/* Reads the files that the section names; NULL and *err, with FILE:LINE, where one is not
 * good. */
struct smtp_terms *smtp_terms_new(const struct config *config,
    const struct submission_config *section, struct error *err);
struct smtp_terms *smtp_terms_ref(struct smtp_terms *terms);
void smtp_terms_unref(struct smtp_terms *terms);	/* NULL is allowed */

#endif

/* ctl_print.h - what heraldctl shows to people: tables and short texts. */
#ifndef HERALD_CMD_CTL_PRINT_H
#define HERALD_CMD_CTL_PRINT_H

#include <jansson.h>
#include <stdbool.h>

/* What strangers wrote must not command the terminal, nor show in another order than it stands
 * (RULES L1): such characters become "?"; line ends and tabs stay where `lines` are shown.  The
 * text is UTF-8 and only gets shorter: returns its new length. */
size_t ctl_mask(char *text, size_t len, bool lines);
void ctl_mask_all(json_t *value);	/* each text in it, before one of the following shows it */

/* All borrow what they show and write to stdout. */
void ctl_print_json(const json_t *value);	/* on a terminal in ASCII alone */
void ctl_print_status(const json_t *status);
void ctl_print_list(const json_t *messages);		/* one line a message */
void ctl_print_message(const json_t *message);		/* queue show */
void ctl_print_trace(const json_t *rows);

/* ctl_print_relay.c */
void ctl_print_relays(const json_t *relays);		/* one line a relay, and its last fault */
void ctl_print_route(const json_t *route);
void ctl_print_probe(const json_t *result, bool dialogue);

/* What the printing files share. */
const char *ctl_text(const json_t *object, const char *key);	/* "" where there is none */
json_int_t ctl_number(const json_t *object, const char *key);
const char *ctl_age(json_int_t seconds, char out[24]);	/* "45s", "12m", "3h", "2d" */
const char *ctl_time(json_int_t seconds, char out[40]);	/* local time with its zone */

#endif

/* ctl_print.h - what heraldctl shows to people: tables and short texts. */
#ifndef HERALD_CMD_CTL_PRINT_H
#define HERALD_CMD_CTL_PRINT_H

#include <jansson.h>

/* All borrow what they show and write to stdout. */
void ctl_print_json(const json_t *value);
void ctl_print_status(const json_t *status);
void ctl_print_list(const json_t *messages);		/* one line a message */
void ctl_print_message(const json_t *message);		/* queue show */

#endif

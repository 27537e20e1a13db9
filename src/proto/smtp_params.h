/* smtp_params.h - the parameters of MAIL and RCPT, read and judged; for smtp_verb.c alone. */
#ifndef HERALD_PROTO_SMTP_PARAMS_H
#define HERALD_PROTO_SMTP_PARAMS_H

#include "mail/envelope.h"
#include "mail/status.h"
#include "proto/smtp_server.h"
#include "proto/smtp_wire.h"

#include <stdbool.h>
#include <stdint.h>

/* SIZE, BODY, SMTPUTF8, RET, ENVID; AUTH where that is offered.  The text in *out is borrowed
 * from `parameters`.  False: the reply is in *refusal. */
bool smtp_mail_params_parse(struct slice parameters, const struct smtp_server_settings *settings,
    struct smtp_mail_params *out, struct status *refusal) __attribute__((warn_unused_result));

/* NOTIFY, ORCPT.  orcpt: what out->orcpt means.  False as above. */
bool smtp_rcpt_params_parse(struct slice parameters, struct smtp_rcpt_params *out,
    char orcpt[ENVELOPE_ORCPT_MAX + 1], struct status *refusal)
    __attribute__((warn_unused_result));

#endif

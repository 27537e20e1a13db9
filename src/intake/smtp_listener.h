/* smtp_listener.h - the submission blocks of the conffile as a service of the daemon. */
#ifndef HERALD_INTAKE_SMTP_LISTENER_H
#define HERALD_INTAKE_SMTP_LISTENER_H

#include "base/service.h"

struct intake;
struct loop;
struct queue;
struct socket_pool;

/* All three are borrowed and outlive the intake; it listens once the service committed. */
struct intake *intake_new(struct loop *loop, struct queue *queue, struct socket_pool *pool);
extern const struct service_ops intake_service;	/* self: the intake; destroy frees it */

#endif

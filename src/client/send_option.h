/* send_option.h - what holds for the value of every option of which a mail is made. */
#ifndef HERALD_CLIENT_SEND_OPTION_H
#define HERALD_CLIENT_SEND_OPTION_H

#include <stdbool.h>
#include <stddef.h>

struct send_fault;

/* UTF-8 without CR and LF (RULES H). */
bool send_option_check(const char *option, const char *value, struct send_fault *fault)
    __attribute__((warn_unused_result));
/* The same of one that names a file, whose octets may be any others. */
bool send_option_check_path(const char *option, const char *value, struct send_fault *fault)
    __attribute__((warn_unused_result));

/* Always false: the fault names the option and what of its value is bad. */
bool send_option_refuse(const char *option, const char *octets, size_t len, const char *why,
    struct send_fault *fault);

#endif

/* log.h - one line to syslog or stderr, which never waits. */
#ifndef HERALD_BASE_LOG_H
#define HERALD_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* error: someone must act.  warning: will cost mail if it lasts.  info: one
 * line per message and attempt.  The values are those of syslog(3). */
enum log_level {
	LOG_LEVEL_CRITICAL = 2, LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7,
};
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

struct log_settings {
	enum log_target target;
	enum log_level level;		/* lines above it are not formatted */
	int facility;			/* as of syslog(3), shifted: LOG_MAIL */
	char ident[32];			/* "herald": the line starts "herald/smtpd[PID]: " */
};

/* Before the first call lines go to stderr from info up.  /dev/log is opened at
 * once and again, at most every second, when it is gone. */
void log_configure(const struct log_settings *settings);
bool log_wants(enum log_level level);
void log_set_level(enum log_level level);
const char *log_ident(void);

/* `component` is the name after the slash: "smtpd", "qmgr".  Fields that a peer
 * wrote must have gone through text_printable().  A newline in the line is
 * written as a blank: one event is one line. */
void log_write(enum log_level level, const char *component, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines that syslog or stderr did not take since the start. */
uint64_t log_dropped(void);

#endif

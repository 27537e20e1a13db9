/* fetch_charset.h - text of any charset as valid UTF-8, octet by octet; what is wrong is U+FFFD. */
#ifndef HERALD_CLIENT_FETCH_CHARSET_H
#define HERALD_CLIENT_FETCH_CHARSET_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct fetch_charset;

/* `name` as the mail gives it.  Without one (NULL), of ASCII and of one that is not known, it is
 * UTF-8 as long as it can be that, else Windows-1252.  What others than their label mean is
 * taken for what it is: GB2312 as GB18030, ISO-8859-1 as Windows-1252. */
struct fetch_charset *fetch_charset_new(const char *name);
bool fetch_charset_is_known(const char *name);

/* Appends to `out`.  A character may be cut anywhere between two calls. */
void fetch_charset_convert(struct fetch_charset *charset, const char *octets, size_t len,
    struct buf *out);
/* The text ends here; another one may follow. */
void fetch_charset_end(struct fetch_charset *charset, struct buf *out);
bool fetch_charset_is_broken(const struct fetch_charset *charset);	/* a U+FFFD was needed */
void fetch_charset_free(struct fetch_charset *charset);

#endif

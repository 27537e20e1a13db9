/* fetch_print.c - what herald fetch says to people, in their character set. */
#include "client/fetch_print.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <iconv.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define NO_ICONV	((iconv_t)-1)
#define BLOCK		4096	/* octets converted at a time */
#define CELL_WIDTH	31	/* columns: a date of RFC 5322 has as many */

struct fetch_printer {
	FILE *out;
	iconv_t iconv;		/* NO_ICONV: UTF-8 as it is */
	bool terminal;
	bool line_open;		/* text was printed and its last line has no end */
	struct buf text;	/* of the text: not yet printed, the start of a character */
};

char *
fetch_print_charset(bool terminal)
{
	const char *charset;
	char *name;

	setlocale(LC_CTYPE, "");
	charset = nl_langinfo(CODESET);
	if (text_equal(charset, "UTF-8") || text_equal(charset, "UTF8"))
		return NULL;
	if (!terminal && text_equal(charset, "ANSI_X3.4-1968"))
		charset = "";
	/* The next setlocale() may take it away. */
	name = mem_strdup(charset);
	setlocale(LC_CTYPE, "C.UTF-8");
	if (name[0] != '\0')
		return name;
	free(name);
	return NULL;
}

struct fetch_printer *
fetch_printer_new(FILE *out, const char *charset, bool terminal)
{
	struct fetch_printer *printer = mem_zalloc(sizeof(*printer));
	char *target;

	printer->out = out;
	printer->terminal = terminal;
	printer->iconv = NO_ICONV;
	if (charset != NULL) {
		target = mem_printf("%s//TRANSLIT", charset);
		printer->iconv = iconv_open(target, "UTF-8");
		free(target);
	}
	return printer;
}

void
fetch_printer_free(struct fetch_printer *printer)
{
	if (printer == NULL)
		return;
	if (printer->iconv != NO_ICONV)
		iconv_close(printer->iconv);
	buf_free(&printer->text);
	free(printer);
}

/* What has no like in the target, or is no UTF-8, is a question mark each. */
static void
put_converted(struct fetch_printer *printer, const char *octets, size_t len)
{
	char block[BLOCK], *from = (char *)(uintptr_t)octets;

	while (len > 0) {
		char *to = block;
		size_t room = sizeof(block);
		size_t done = iconv(printer->iconv, &from, &len, &to, &room);
		int why = errno;

		fwrite(block, 1, sizeof(block) - room, printer->out);
		if (done != (size_t)-1 || why == E2BIG)
			continue;
		fputc('?', printer->out);
		do {
			from++;
			len--;
		} while (len > 0 && ((unsigned char)*from & 0xc0) == 0x80);
	}
}

static void
put(struct fetch_printer *printer, const char *octets, size_t len)
{
	if (printer->iconv != NO_ICONV)
		put_converted(printer, octets, len);
	else
		fwrite(octets, 1, len, printer->out);
}

/* Without controls, but for those of `kept`, which are ASCII. */
static void
put_harmless(struct fetch_printer *printer, const char *octets, size_t len, const char *kept)
{
	const size_t kept_len = strlen(kept);
	size_t run, size;
	char *safe;

	for (size_t at = 0; at < len; at += run + 1) {
		run = 0;
		while (at + run < len && memchr(kept, octets[at + run], kept_len) == NULL)
			run++;
		if (run > 0) {
			size = run * 4 + 64;
			safe = mem_alloc(size);
			text_printable_utf8(safe, size, octets + at, run);
			put(printer, safe, strlen(safe));
			free(safe);
		}
		if (at + run < len)
			put(printer, octets + at + run, 1);
	}
}

void
fetch_print_line(struct fetch_printer *printer, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;
	int len;

	if (printer == NULL)
		return;
	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len == -1)
		abort();
	put_harmless(printer, text, (size_t)len, "\\");
	put(printer, "\n", 1);
	free(text);
}

void
fetch_print_field(struct fetch_printer *printer, const char *name, const char *value)
{
	if (value != NULL)
		fetch_print_line(printer, "%s: %s", name, value);
}

/* The widest start of a text that fits into `room` columns; its width goes into *width. */
static size_t
fitting(const char *text, int room, int *width)
{
	const size_t len = strlen(text);
	size_t at = 0, size;
	mbstate_t state = { 0 };

	*width = 0;
	while (at < len) {
		wchar_t character;
		int columns;

		size = mbrtowc(&character, text + at, len - at, &state);
		if (size == (size_t)-1 || size == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			size = 1;
			columns = 1;
		} else {
			columns = wcwidth(character);
		}
		if (columns < 0)
			columns = 1;
		if (*width + columns > room)
			break;
		*width += columns;
		at += size;
	}
	return at;
}

void
fetch_print_row(struct fetch_printer *printer, unsigned number, uint64_t size,
    const char *const cells[FETCH_PRINT_CELLS])
{
	struct buf line = { 0 };
	int width;

	if (printer == NULL)
		return;
	if (number == 0)
		buf_appendf(&line, "%6s %11s  ", "number", "size");
	else
		buf_appendf(&line, "%6u %11" PRIu64 "  ", number, size);
	for (size_t i = 0; i + 1 < FETCH_PRINT_CELLS; i++) {
		buf_append(&line, cells[i], fitting(cells[i], CELL_WIDTH, &width));
		buf_appendf(&line, "%*s", CELL_WIDTH + 2 - width, "");
	}
	buf_append_text(&line, cells[FETCH_PRINT_CELLS - 1]);
	fetch_print_line(printer, "%s", buf_text(&line));
	buf_free(&line);
}

/* How many octets at the end begin a character that is not whole yet. */
static size_t
unfinished(const char *octets, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		const unsigned char octet = (unsigned char)octets[len - back];

		if (octet >= 0xc0) {
			const size_t size = octet >= 0xf0 ? 4 : octet >= 0xe0 ? 3 : 2;

			return back < size ? back : 0;
		}
		if (octet < 0x80)
			return 0;
	}
	return 0;
}

static void
put_text(struct fetch_printer *printer, size_t len)
{
	const char *octets = buf_octets(&printer->text);

	if (len == 0)
		return;
	if (printer->terminal)
		put_harmless(printer, octets, len, "\n\t\\");
	else
		put(printer, octets, len);
	printer->line_open = octets[len - 1] != '\n';
	buf_consume(&printer->text, len);
}

void
fetch_print_text(struct fetch_printer *printer, const char *octets, size_t len)
{
	if (printer == NULL)
		return;
	buf_append(&printer->text, octets, len);
	put_text(printer,
	    printer->text.len - unfinished(buf_octets(&printer->text), printer->text.len));
}

void
fetch_print_text_end(struct fetch_printer *printer)
{
	if (printer == NULL)
		return;
	put_text(printer, printer->text.len);
	if (printer->line_open)
		put(printer, "\n", 1);
	printer->line_open = false;
}

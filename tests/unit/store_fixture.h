/* store_fixture.h - a directory, mail and rows for the tests of the store and the queue. */
#ifndef HERALD_TESTS_UNIT_STORE_FIXTURE_H
#define HERALD_TESTS_UNIT_STORE_FIXTURE_H

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/error.h"
#include "base/mem.h"
#include "mail/envelope.h"
#include "queue/content.h"

struct place { char directory[64], path[96]; };

static inline void
place_make(struct place *place)
{
	snprintf(place->directory, sizeof(place->directory), "/tmp/herald-store-XXXXXX");
	if (mkdtemp(place->directory) == NULL)
		abort();
	snprintf(place->path, sizeof(place->path), "%s/queue.db", place->directory);
}

static inline void
place_remove(const struct place *place)
{
	DIR *dir = opendir(place->directory);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.') {
			char *path = mem_printf("%s/%s", place->directory, entry->d_name);

			if (unlink(path) == -1)
				rmdir(path);
			free(path);
		}
	if (dir != NULL)
		closedir(dir);
	rmdir(place->directory);
}

static inline struct address
address_of(const char *text)
{
	struct address address;

	if (address_parse(&address, text, strlen(text)) != ADDRESS_OK)
		abort();
	return address;
}

static inline struct envelope *
envelope_of(int64_t id, const char *reverse_path, size_t recipients)
{
	struct address address = address_of(reverse_path);
	struct envelope *envelope = envelope_new(&address);
	char text[64];
	size_t i;

	envelope->id = id;
	snprintf(envelope->queue_id, sizeof(envelope->queue_id), "%llX", (unsigned long long)id);
	envelope->arrived = 1700000000;
	envelope->expires = 1700432000;
	for (i = 0; i < recipients; i++) {
		snprintf(text, sizeof(text), "user%zu@example.net", i);
		address = address_of(text);
		envelope_add(envelope, &address)->state = RECIPIENT_ACTIVE;
	}
	return envelope;
}

static inline struct content *
content_of(const char *directory, size_t size, unsigned seed)
{
	struct content *content = content_new(directory);
	char *octets = mem_alloc(size);
	struct error err;
	size_t i;

	for (i = 0; i < size; i++)
		octets[i] = (char)('a' + (i * 7 + i / 97 + seed) % 26);
	if (!content_append(content, octets, size, &err))
		abort();
	free(octets);
	return content;
}

static inline bool
content_equal(const struct content *a, const struct content *b)
{
	char x[8192], y[8192];
	struct error err;
	uint64_t at = 0;
	size_t got, also;

	if (content_size(a) != content_size(b))
		return false;
	do {
		if (!content_read(a, at, x, sizeof(x), &got, &err) ||
		    !content_read(b, at, y, got, &also, &err) || got != also ||
		    memcmp(x, y, got) != 0)
			return false;
		at += got;
	} while (got > 0);
	return true;
}

/* Another's hand in the closed database: changes rows, or asks for a number. */
static inline int64_t
tamper(const char *path, const char *statements)
{
	sqlite3 *handle;
	sqlite3_stmt *statement;
	const char *tail = statements;
	int64_t number = -1;

	if (sqlite3_open(path, &handle) != SQLITE_OK)
		abort();
	while (*tail != '\0') {
		if (sqlite3_prepare_v2(handle, tail, -1, &statement, &tail) != SQLITE_OK) {
			fprintf(stderr, "%s\n", sqlite3_errmsg(handle));
			abort();
		}
		if (statement == NULL)
			break;
		while (sqlite3_step(statement) == SQLITE_ROW)
			number = sqlite3_column_int64(statement, 0);
		sqlite3_finalize(statement);
	}
	sqlite3_close(handle);
	return number;
}

#endif

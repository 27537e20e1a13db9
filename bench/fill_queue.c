/* fill_queue.c - puts deferred mail into a queue that no heraldd uses, through the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/mem.h"
#include "common.h"
#include "queue/content.h"
#include "queue/store_driver.h"

#define BATCH		2000		/* messages in one transaction */
#define DOMAINS		1000
#define AGO		3600		/* seconds since the first attempt */
#define SPREAD		7200UL		/* seconds over which the next attempts lie */

struct fill {
	const struct store_driver *driver;
	void *db;
	char *mail;
	size_t len;
	int64_t now, next_id;
	unsigned long all, left;
	struct store_outcome *outcomes;
};

static void __attribute__((noreturn))
give_up(const char *what, const struct error *err)
{
	fprintf(stderr, "fill_queue: %s: %s\n", what, err->text);
	exit(EX_SOFTWARE);
}

static struct envelope *
make_envelope(struct fill *fill, size_t number)
{
	struct address sender, recipient;
	char text[64];
	int len = snprintf(text, sizeof(text), "recipient%zu@d%zu.example.net", number,
	    number % DOMAINS);
	struct envelope *envelope;
	struct recipient *row;

	if (address_parse(&recipient, text, (size_t)len) != ADDRESS_OK ||
	    address_parse(&sender, "sender@example.org", 18) != ADDRESS_OK)
		abort();
	envelope = envelope_new(&sender);
	row = envelope_add(envelope, &recipient);
	row->state = RECIPIENT_ACTIVE;
	envelope->id = fill->next_id++;
	snprintf(envelope->queue_id, sizeof(envelope->queue_id), "%llX",
	    (unsigned long long)envelope->id);
	envelope->size = fill->len;
	envelope->arrived = fill->now - AGO;
	envelope->expires = fill->now + 5 * 86400;
	return envelope;
}

/* As one attempt that was told "later" leaves it. */
static void
defer(struct store_outcome *outcome, const struct fill *fill, int64_t id)
{
	*outcome = (struct store_outcome){ .message_id = id, .recipient_id = 1,
		.state = RECIPIENT_DEFERRED, .attempts = 1,
		.next_attempt = fill->now + AGO +
		    (int64_t)(SPREAD * (fill->all - fill->left) / fill->all),
		.keep_attempt = true };
	outcome->attempt = (struct attempt){ .at = fill->now - AGO, .charged = true,
		.relay = "sink/127.0.0.1[127.0.0.1]:25", .step = "RCPT TO",
		.status = status_reply(450, "4.2.0", "mailbox busy, try again later") };
}

static void
insert(struct fill *fill, struct store_insert *insert)
{
	struct error err = { 0 };

	if (fill->driver->insert(fill->db, insert, &err) != STORE_OK)
		give_up("insert", &err);
	free(insert->removed.ids);
}

static void
transaction(struct fill *fill, const struct content *content)
{
	size_t count = fill->left < BATCH ? fill->left : BATCH, i;
	struct error err = { 0 };

	if (fill->driver->begin(fill->db, &err) != STORE_OK)
		give_up("begin", &err);
	for (i = 0; i < count; i++) {
		struct envelope *envelope = make_envelope(fill, fill->left - i);
		struct content *same = content_ref((struct content *)(uintptr_t)content);

		insert(fill, &(struct store_insert){ .envelope = envelope, .content = same });
		defer(&fill->outcomes[i], fill, envelope->id);
		content_unref(same);
		envelope_free(envelope);
	}
	insert(fill, &(struct store_insert){ .outcomes = fill->outcomes, .count = count });
	if (fill->driver->commit(fill->db, &err) != STORE_OK)
		give_up("commit", &err);
	fill->left -= count;
}

static void
tidy(struct fill *fill)
{
	struct error err = { 0 };
	int64_t again = 0;

	if (fill->driver->tidy(fill->db, &again, &err) != STORE_OK)
		give_up("tidy", &err);
}

static void
run(struct fill *fill, const char *directory)
{
	struct content *content = content_new(directory);
	struct store_totals totals;
	struct error err = { 0 };

	/* Without the end of data. */
	if (!content_append(content, fill->mail, fill->len, &err))
		give_up("content", &err);
	fill->driver->totals(fill->db, &totals);
	fill->next_id = (fill->now - AGO) * 1000000;
	if (fill->next_id <= totals.last_id)
		fill->next_id = totals.last_id + 1;
	fill->outcomes = mem_zalloc(BATCH * sizeof(*fill->outcomes));
	while (fill->left > 0) {
		transaction(fill, content);
		tidy(fill);
	}
	free(fill->outcomes);
	content_unref(content);
}

int
main(int argc, char **argv)
{
	struct fill fill = { .driver = &store_sqlite, .now = time(NULL) };
	struct store_options options = { .history = 86400 };
	struct error err = { 0 };
	char *path;

	if (argc != 4) {
		fputs("usage: fill_queue STATE-DIRECTORY MESSAGES OCTETS\n", stderr);
		return EX_USAGE;
	}
	fill.all = fill.left = strtoul(argv[2], NULL, 10);
	fill.mail = make_mail(strtoul(argv[3], NULL, 10), &fill.len);
	fill.len -= strlen(".\r\n");
	path = mem_printf("%s/queue.db", argv[1]);
	options.path = path;
	options.directory = argv[1];
	fill.db = fill.driver->open(&options, &err);
	if (fill.db == NULL)
		give_up(path, &err);
	run(&fill, argv[1]);
	fill.driver->close(fill.db);
	free(fill.mail);
	free(path);
	return 0;
}

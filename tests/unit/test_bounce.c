/* test_bounce.c - who is told what, and how a storm of reports ends in one digest. */
#include "relay/bounce.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "conf/config.h"
#include "mail/aliases.h"
#include "mail/envelope.h"
#include "mail/identity.h"
#include "net/loop.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW		1795410367		/* Mon, 23 Nov 2026 05:06:07 UTC */
#define BATCHES_MAX	2000

enum end { OPEN, REPORTED, UNTOLD, DIGESTED, LATER, PARKED };

/* A queue that keeps what it was told; it stands in for queue.c. */
struct queue {
	unsigned ids;
	size_t count;			/* batches */
	struct envelope *batches[BATCHES_MAX];
	enum end ends[BATCHES_MAX];
	unsigned told[PARKED + 1];
	int64_t later;
	struct envelope *report;	/* the latest */
	char *text;
	unsigned reports;
};

static void
end(struct queue *queue, const struct envelope *batch, enum end how)
{
	for (size_t i = 0; i < queue->count; i++) {
		if (queue->batches[i] != batch)
			continue;
		assert_int_equal(queue->ends[i], OPEN);
		queue->ends[i] = how;
		queue->told[how]++;
		return;
	}
	fail();
}

static void
keep_report(struct queue *queue, struct envelope *report, struct content *content)
{
	struct error err;
	size_t size = (size_t)content_size(content), got;

	envelope_free(queue->report);
	free(queue->text);
	queue->report = report;
	queue->text = calloc(1, size + 1);
	assert_non_null(queue->text);
	assert_true(content_read(content, 0, queue->text, size, &got, &err));
	assert_int_equal(got, size);
	assert_int_equal(report->size, size);
	queue->reports++;
}

void
queue_new_id(struct queue *queue, char out[QUEUE_ID_MAX + 1])
{
	snprintf(out, QUEUE_ID_MAX + 1, "%X", 0xDEF000u + ++queue->ids);
}

void
queue_reported(struct queue *queue, struct envelope *batch, struct envelope *report,
    struct content *content)
{
	end(queue, batch, report != NULL ? REPORTED : UNTOLD);
	if (report != NULL)
		keep_report(queue, report, content);
}

void
queue_reported_many(struct queue *queue, struct envelope *const *batches, size_t count,
    struct envelope *report, struct content *content)
{
	for (size_t i = 0; i < count; i++)
		end(queue, batches[i], DIGESTED);
	keep_report(queue, report, content);
}

void
queue_report_later(struct queue *queue, struct envelope *batch, int64_t when)
{
	end(queue, batch, LATER);
	queue->later = when;
}

void
queue_park(struct queue *queue, struct envelope *batch, const char *why)
{
	assert_non_null(why);
	end(queue, batch, PARKED);
}

/* The configuration is of this file; it is counted by nobody. */

const struct config *
config_ref(const struct config *config)
{
	return config;
}

void
config_unref(const struct config *config)
{
	(void)config;
}

static const struct config config = {
	.hostname = "web1.example.org",
	.queue = { .state_directory = "/nonexistent", .bounce_lifetime = 100 },
};

struct fixture {
	struct loop *loop;
	struct queue queue;
	struct bounce *bounce;
	struct content *content;
};

static int
setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	static const char octets[] = "Subject: hello\r\n\r\nbody\r\n";
	struct error err;

	if (fixture == NULL || (fixture->loop = loop_new(&err)) == NULL)
		return -1;
	clock_set(NOW * 1000000LL);
	log_set_level(LOG_LEVEL_ERROR);
	fixture->bounce = bounce_new(fixture->loop, &fixture->queue);
	bounce_service.commit(fixture->bounce, fixture->bounce, &config);
	fixture->content = content_new("/nonexistent");
	*state = fixture;
	return content_append(fixture->content, octets, sizeof(octets) - 1, &err) ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	bounce_service.destroy(fixture->bounce);
	for (size_t i = 0; i < fixture->queue.count; i++)
		envelope_free(fixture->queue.batches[i]);
	envelope_free(fixture->queue.report);
	free(fixture->queue.text);
	content_unref(fixture->content);
	loop_free(fixture->loop);
	free(fixture);
	clock_set(-1);
	return 0;
}

static struct envelope *
make(struct fixture *fixture, const char *sender)
{
	struct queue *queue = &fixture->queue;
	struct envelope *batch;
	struct address path;

	assert_int_equal(address_parse(&path, sender, strlen(sender)), ADDRESS_OK);
	batch = envelope_new(&path);
	snprintf(batch->queue_id, sizeof(batch->queue_id), "%zX", 0xA000 + queue->count);
	batch->arrived = NOW - 10;
	batch->expires = NOW + 1000;
	assert_true(queue->count < BATCHES_MAX);
	queue->ends[queue->count] = OPEN;
	queue->batches[queue->count++] = batch;
	return batch;
}

static struct recipient *
add(struct envelope *batch, const char *kind, unsigned notify)
{
	struct address path;
	struct recipient *recipient;
	char text[40];

	snprintf(text, sizeof(text), "%s@example.net", kind);
	assert_int_equal(address_parse(&path, text, strlen(text)), ADDRESS_OK);
	recipient = envelope_add(batch, &path);
	recipient->state = RECIPIENT_OWED;
	recipient->notify = notify;
	recipient->last_at = NOW;
	if (strcmp(kind, "failed") == 0) {
		recipient->last = status_parse(550, "5.1.1 no", 8);
	} else if (strcmp(kind, "relayed") == 0) {
		recipient->last = status_parse(250, "2.0.0 Ok", 8);
	} else {
		recipient->last = status_parse(451, "4.2.0 later", 11);
		recipient->state = RECIPIENT_DEFERRED;
		recipient->warning_owed = true;
	}
	return recipient;
}

static void
fail_one(struct fixture *fixture, const char *sender)
{
	struct envelope *batch = make(fixture, sender);

	add(batch, "failed", 0);
	bounce_report(fixture->bounce, batch, fixture->content);
}

static json_int_t
counter(const struct fixture *fixture, const char *name)
{
	json_t *status = bounce_service.status(fixture->bounce);
	json_int_t value = json_integer_value(json_object_get(status, name));

	json_decref(status);
	return value;
}

/* RFC 3461 4.1, every set of words with every fate. */
static void
test_notify(void **state)
{
	static const struct {
		const char *kind;
		unsigned bit;
		bool unasked;		/* told when nothing was said */
	} rows[] = {
		{ "failed", NOTIFY_FAILURE, true },
		{ "delayed", NOTIFY_DELAY, true },
		{ "relayed", NOTIFY_SUCCESS, false },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < 3; i++) {
		for (unsigned notify = 0; notify < 16; notify++) {
			struct envelope *batch = make(fixture, "ann@example.org");
			bool told = notify == 0 ? rows[i].unasked : (notify & rows[i].bit) != 0;
			char action[40];

			if ((notify & NOTIFY_NEVER) != 0 && notify != NOTIFY_NEVER) {
				fixture->queue.ends[fixture->queue.count - 1] = UNTOLD;
				continue;
			}
			add(batch, rows[i].kind, notify);
			bounce_report(fixture->bounce, batch, fixture->content);
			assert_int_equal(fixture->queue.ends[fixture->queue.count - 1],
			    told ? REPORTED : UNTOLD);
			snprintf(action, sizeof(action), "\r\nAction: %s\r\n", rows[i].kind);
			if (told)
				assert_non_null(strstr(fixture->queue.text, action));
		}
	}
	assert_int_equal(fixture->queue.told[PARKED] + fixture->queue.told[LATER], 0);
}

/* Each recipient of a message has its own wish. */
static void
test_mixed(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *batch = make(fixture, "ann@example.org");

	add(batch, "failed", NOTIFY_NEVER);
	add(batch, "delayed", 0);
	add(batch, "relayed", NOTIFY_SUCCESS);
	bounce_report(fixture->bounce, batch, fixture->content);
	assert_int_equal(fixture->queue.told[REPORTED], 1);
	assert_null(strstr(fixture->queue.text, "failed@"));
	assert_non_null(strstr(fixture->queue.text, "Action: delayed"));
	assert_non_null(strstr(fixture->queue.text, "Action: relayed"));
	assert_non_null(strstr(fixture->queue.text, "Subject: Delayed Mail"));
	/* The batch itself is left alone: the queue settles all of it. */
	assert_int_equal(batch->recipient_count, 3);
}

static void
test_report_envelope(void **state)
{
	struct fixture *fixture = *state;
	const struct envelope *report;
	struct envelope *batch;

	fail_one(fixture, "ann@example.org");
	report = fixture->queue.report;
	assert_true(address_is_null(&report->reverse_path));
	assert_int_equal(report->recipient_count, 1);
	assert_string_equal(report->recipients[0].forward_path.local, "ann");
	assert_int_equal(report->recipients[0].notify, 0);
	assert_int_equal(report->expires, NOW + 100);
	assert_false(report->smtputf8 || report->body_8bit);
	assert_string_equal(report->queue_id, "DEF001");
	assert_non_null(strstr(fixture->queue.text, "\r\nSubject: hello\r\n"));
	batch = make(fixture, "\xc3\xa9@example.org");
	add(batch, "failed", 0);
	batch->ret = RET_FULL;
	bounce_report(fixture->bounce, batch, fixture->content);
	report = fixture->queue.report;
	assert_true(report->smtputf8 && report->body_8bit);
	assert_non_null(strstr(fixture->queue.text, "\r\n\r\nbody\r\n"));
}

/* RFC 5321 4.5.5. */
static void
test_null_sender(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *batch;

	fail_one(fixture, "");
	assert_int_equal(fixture->queue.told[PARKED], 1);
	batch = make(fixture, "");
	add(batch, "delayed", 0);
	add(batch, "relayed", NOTIFY_SUCCESS);
	bounce_report(fixture->bounce, batch, fixture->content);
	assert_int_equal(fixture->queue.told[UNTOLD], 1);
	batch = make(fixture, "");
	add(batch, "failed", NOTIFY_NEVER);
	bounce_report(fixture->bounce, batch, fixture->content);
	assert_int_equal(fixture->queue.told[UNTOLD], 2);
	assert_int_equal(fixture->queue.reports, 0);
}

/* --- storms --- */

static void
test_storm_and_digest(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 360; i++)
		fail_one(fixture, "ann@example.org");
	assert_int_equal(fixture->queue.told[REPORTED], 60);
	assert_int_equal(fixture->queue.told[LATER], 300);
	assert_true(fixture->queue.later == NOW + 3600);
	assert_int_equal(counter(fixture, "put_off"), 300);
	/* Others are told as ever. */
	fail_one(fixture, "bob@example.org");
	assert_int_equal(fixture->queue.told[REPORTED], 61);

	clock_set((NOW + 3600) * 1000000LL);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(fixture->queue.told[DIGESTED], 0);
		fail_one(fixture, "ann@example.org");
	}
	assert_int_equal(fixture->queue.told[DIGESTED], 300);
	assert_int_equal(fixture->queue.reports, 62);
	assert_non_null(strstr(fixture->queue.text, "Subject: Undelivered Mail: 300 Messages"));
	assert_null(strstr(fixture->queue.text, "not listed"));
	assert_string_equal(fixture->queue.report->recipients[0].forward_path.local, "ann");
	assert_int_equal(counter(fixture, "digests"), 1);
	/* 60 in any hour, the digest is one of them; those of the first second are gone. */
	for (unsigned i = 0; i < 100; i++)
		fail_one(fixture, "ann@example.org");
	assert_int_equal(fixture->queue.told[REPORTED], 61 + 59);
	assert_int_equal(fixture->queue.told[LATER], 300 + 41);
}

/* Not all come back: some were removed meanwhile.  Nobody waits for them for ever. */
static void
test_digest_by_time(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 70; i++)
		fail_one(fixture, "ann@example.org");
	clock_set((NOW + 3600) * 1000000LL);
	fail_one(fixture, "ann@example.org");
	fail_one(fixture, "ann@example.org");
	assert_int_equal(fixture->queue.told[DIGESTED], 0);
	for (unsigned i = 0; i < 100 && fixture->queue.told[DIGESTED] == 0; i++)
		loop_turn(fixture->loop, 100);
	assert_int_equal(fixture->queue.told[DIGESTED], 2);
}

/* At stop nothing is left half done; one message alone has a report of its own. */
static void
test_digest_at_drain(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 70; i++)
		fail_one(fixture, "ann@example.org");
	clock_set((NOW + 3600) * 1000000LL);
	fail_one(fixture, "ann@example.org");
	assert_true(bounce_service.drain(fixture->bounce));
	assert_int_equal(fixture->queue.told[REPORTED], 61);
	assert_non_null(strstr(fixture->queue.text, "multipart/report"));
}

/* More than the queue can hold in hand at once: a digest for each thousand. */
static void
test_digest_size(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 60 + 1100; i++)
		fail_one(fixture, "ann@example.org");
	for (size_t i = 0; i < fixture->queue.count; i++)
		envelope_free(fixture->queue.batches[i]);
	fixture->queue.count = 0;
	clock_set((NOW + 3600) * 1000000LL);
	for (unsigned i = 0; i < 1100; i++)
		fail_one(fixture, "ann@example.org");
	assert_int_equal(fixture->queue.told[DIGESTED], 1100);
	assert_int_equal(fixture->queue.reports, 62);
	assert_non_null(strstr(fixture->queue.text, "Subject: Undelivered Mail: 100 Messages"));
}

/* No report can be written now, for want of room: it is later, and nobody is parked. */
static void
test_no_room_for_a_report(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *batch = make(fixture, "ann@example.org");

	for (unsigned i = 0; i < 1000; i++)
		add(batch, "failed", 0);
	bounce_report(fixture->bounce, batch, fixture->content);
	assert_int_equal(fixture->queue.told[PARKED], 0);
	assert_int_equal(fixture->queue.told[LATER], 1);
	assert_true(fixture->queue.later > NOW && fixture->queue.later <= NOW + 3600);
}

/* A delay that was put off is not told any more: it does not come back. */
static void
test_storm_of_warnings(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *batch;

	for (unsigned i = 0; i < 60; i++)
		fail_one(fixture, "ann@example.org");
	for (unsigned i = 0; i < 5; i++) {
		batch = make(fixture, "ann@example.org");
		add(batch, "delayed", 0);
		bounce_report(fixture->bounce, batch, fixture->content);
	}
	assert_int_equal(fixture->queue.told[LATER], 5);
	clock_set((NOW + 3600) * 1000000LL);
	fail_one(fixture, "ann@example.org");
	assert_int_equal(fixture->queue.told[REPORTED], 61);
}

static void
test_destroyed_while_gathering(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 70; i++)
		fail_one(fixture, "ann@example.org");
	clock_set((NOW + 3600) * 1000000LL);
	fail_one(fixture, "ann@example.org");
	assert_int_equal(fixture->queue.ends[70], OPEN);
}

/* What is for a name of this machine goes to who reads its mail, a digest too. */
static void
test_local_sender(void **state)
{
	static const char file[] = "root: admin@example.org\nops: root, bob@example.com\n";
	struct identity identity = { .hostname = "web1.example.org",
		.domain = "web1.example.org" };
	struct config local = config;
	struct fixture *fixture = *state;
	const struct envelope *report;
	struct error err;
	struct aliases *aliases;

	identity.aliases = aliases = aliases_parse("file", file, sizeof(file) - 1,
	    identity_is_local_name, &identity, &err);
	assert_non_null(aliases);
	local.identity.rules = &identity;
	bounce_service.commit(fixture->bounce, fixture->bounce, &local);
	fail_one(fixture, "ops@web1.example.org");
	report = fixture->queue.report;
	assert_int_equal(report->recipient_count, 2);
	assert_string_equal(report->recipients[0].forward_path.local, "admin");
	assert_string_equal(report->recipients[1].forward_path.local, "bob");
	assert_non_null(strstr(fixture->queue.text, "\r\nTo: <admin@example.org>\r\n"));
	assert_null(strstr(fixture->queue.text, "ops@"));
	fail_one(fixture, "postmaster");
	assert_string_equal(fixture->queue.report->recipients[0].forward_path.domain,
	    "web1.example.org");
	for (unsigned i = 0; i < 61; i++)
		fail_one(fixture, "root@web1.example.org");
	clock_set((NOW + 3600) * 1000000LL);
	fail_one(fixture, "root@web1.example.org");
	fail_one(fixture, "root@web1.example.org");
	bounce_service.drain(fixture->bounce);
	report = fixture->queue.report;
	assert_non_null(strstr(fixture->queue.text, "\r\nTo: <admin@example.org>\r\n"));
	assert_int_equal(report->recipient_count, 1);
	assert_string_equal(report->recipients[0].forward_path.local, "admin");
	bounce_service.commit(fixture->bounce, fixture->bounce, &config);
	aliases_free(aliases);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_notify), TEST(test_mixed), TEST(test_report_envelope),
		TEST(test_null_sender), TEST(test_storm_and_digest), TEST(test_digest_by_time),
		TEST(test_digest_at_drain), TEST(test_digest_size), TEST(test_storm_of_warnings),
		TEST(test_destroyed_while_gathering), TEST(test_no_room_for_a_report),
		TEST(test_local_sender),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}

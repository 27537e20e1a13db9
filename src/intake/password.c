/* password.c - compares passwords with their hashes, on a thread of its own. */
#include "intake/password.h"

#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "base/mem.h"
#include "conf/users.h"
#include "net/loop.h"

struct password_check {
	char hash[USERS_HASH_MAX + 1];
	char *password;			/* NULL once wiped */
	bool is_known, is_good;
	bool waits;			/* in `waiting`, under the mutex */
	password_done *done;		/* the loop's alone; NULL: cancelled */
	void *arg;
	STAILQ_ENTRY(password_check) entry;
};

STAILQ_HEAD(check_list, password_check);

struct passwords {
	struct loop *loop;
	struct event *told;
	int fd;				/* an eventfd: something is in `compared` */
	size_t count;
	bool has_thread;		/* from the first check on */
	pthread_t thread;
	pthread_mutex_t mutex;		/* holds for what follows */
	pthread_cond_t wake;
	struct check_list waiting, compared;
	bool ends;
};

static void
wipe_password(struct password_check *check)
{
	if (check->password == NULL)
		return;
	explicit_bzero(check->password, strlen(check->password));
	free(check->password);
	check->password = NULL;
}

static void
free_check(struct password_check *check)
{
	wipe_password(check);
	explicit_bzero(check->hash, sizeof(check->hash));
	free(check);
}

/* --- on the thread --- */

static void
compare(struct password_check *check, struct crypt_data *data)
{
	const char *made = crypt_r(check->password, check->hash, data);
	size_t len = strlen(check->hash);

	/* What crypt(3) cannot do is no password; its length is no secret. */
	check->is_good = made != NULL && made[0] == '$' && strlen(made) == len &&
	    CRYPTO_memcmp(made, check->hash, len) == 0 && check->is_known;
	wipe_password(check);
	explicit_bzero(data, sizeof(*data));
}

/* What the loop reads is the list; the count only wakes it. */
static void
tell_loop(struct passwords *passwords)
{
	const uint64_t one = 1;
	ssize_t len;

	do
		len = write(passwords->fd, &one, sizeof(one));
	while (len == -1 && errno == EINTR);
}

static void *
run_thread(void *arg)
{
	struct passwords *passwords = arg;
	struct crypt_data *data = mem_zalloc(sizeof(*data));
	struct password_check *check;

	pthread_mutex_lock(&passwords->mutex);
	while (!passwords->ends) {
		check = STAILQ_FIRST(&passwords->waiting);
		if (check == NULL) {
			pthread_cond_wait(&passwords->wake, &passwords->mutex);
			continue;
		}
		STAILQ_REMOVE_HEAD(&passwords->waiting, entry);
		check->waits = false;
		pthread_mutex_unlock(&passwords->mutex);
		compare(check, data);
		pthread_mutex_lock(&passwords->mutex);
		STAILQ_INSERT_TAIL(&passwords->compared, check, entry);
		tell_loop(passwords);
	}
	pthread_mutex_unlock(&passwords->mutex);
	free(data);
	return NULL;
}

/* --- on the loop --- */

static void
on_told(evutil_socket_t fd, short what, void *arg)
{
	struct passwords *passwords = arg;
	struct check_list compared = STAILQ_HEAD_INITIALIZER(compared);
	struct password_check *check;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) == -1)
		return;
	pthread_mutex_lock(&passwords->mutex);
	STAILQ_CONCAT(&compared, &passwords->compared);
	pthread_mutex_unlock(&passwords->mutex);
	while ((check = STAILQ_FIRST(&compared)) != NULL) {
		STAILQ_REMOVE_HEAD(&compared, entry);
		if (check->done != NULL) {
			passwords->count--;
			check->done(check->arg, check->is_good);
		}
		free_check(check);
	}
}

struct passwords *
passwords_new(struct loop *loop)
{
	struct passwords *passwords = mem_zalloc(sizeof(*passwords));

	passwords->loop = loop;
	passwords->fd = -1;
	STAILQ_INIT(&passwords->waiting);
	STAILQ_INIT(&passwords->compared);
	return passwords;
}

/* Signals are the loop's. */
static bool
make_thread(struct passwords *passwords)
{
	sigset_t all, before;
	bool made;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	made = pthread_create(&passwords->thread, NULL, run_thread, passwords) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return made;
}

/* Where nobody authenticates there is no thread. */
static bool
start_thread(struct passwords *passwords)
{
	if (passwords->has_thread)
		return true;
	passwords->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (passwords->fd == -1)
		return false;
	pthread_mutex_init(&passwords->mutex, NULL);
	pthread_cond_init(&passwords->wake, NULL);
	if (!make_thread(passwords)) {
		pthread_cond_destroy(&passwords->wake);
		pthread_mutex_destroy(&passwords->mutex);
		close(passwords->fd);
		return false;
	}
	passwords->told = event_new(loop_base(passwords->loop), passwords->fd,
	    EV_READ | EV_PERSIST, on_told, passwords);
	if (passwords->told == NULL)
		abort();
	event_add(passwords->told, NULL);
	passwords->has_thread = true;
	return true;
}

static void
free_checks(struct check_list *list)
{
	struct password_check *check;

	while ((check = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, entry);
		free_check(check);
	}
}

void
passwords_free(struct passwords *passwords)
{
	if (passwords == NULL)
		return;
	if (passwords->has_thread) {
		pthread_mutex_lock(&passwords->mutex);
		passwords->ends = true;
		pthread_cond_signal(&passwords->wake);
		pthread_mutex_unlock(&passwords->mutex);
		pthread_join(passwords->thread, NULL);
		pthread_cond_destroy(&passwords->wake);
		pthread_mutex_destroy(&passwords->mutex);
		event_free(passwords->told);
		close(passwords->fd);
	}
	free_checks(&passwords->waiting);
	free_checks(&passwords->compared);
	free(passwords);
}

struct password_check *
password_start(struct passwords *passwords, const struct users *users, const char *name,
    const char *password, password_done *done, void *arg)
{
	const char *hash = users_hash(users, name);
	struct password_check *check;

	if (passwords->count >= PASSWORDS_WAITING_MAX || !start_thread(passwords))
		return NULL;
	check = mem_zalloc(sizeof(*check));
	check->is_known = hash != NULL;
	if (hash == NULL)
		hash = users_decoy(users, name);
	memcpy(check->hash, hash, strlen(hash) + 1);
	check->password = mem_strdup(password);
	check->done = done;
	check->arg = arg;
	check->waits = true;
	passwords->count++;
	pthread_mutex_lock(&passwords->mutex);
	STAILQ_INSERT_TAIL(&passwords->waiting, check, entry);
	pthread_cond_signal(&passwords->wake);
	pthread_mutex_unlock(&passwords->mutex);
	return check;
}

void
password_cancel(struct passwords *passwords, struct password_check *check)
{
	bool waited;

	check->done = NULL;
	passwords->count--;
	pthread_mutex_lock(&passwords->mutex);
	waited = check->waits;
	if (waited)
		STAILQ_REMOVE(&passwords->waiting, check, password_check, entry);
	pthread_mutex_unlock(&passwords->mutex);
	if (waited)
		free_check(check);
}

size_t
passwords_waiting(const struct passwords *passwords)
{
	return passwords->count;
}

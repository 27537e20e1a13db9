/* socket.c - the daemon's bound sockets, shared by what runs and what is prepared. */
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/endpoint.h"

#define BACKLOG		1024	/* the kernel cuts it to net.core.somaxconn */
#define FIRST_PASSED	3	/* the first descriptor of sd_listen_fds(3) */
#define PASSED_MAX	256	/* descriptors; more come from no unit of ours */

struct pooled {
	struct socket socket;		/* the first member: callers hold its address */
	struct endpoint endpoint;
	unsigned holders;
	bool is_inherited;
	dev_t device;			/* of the path that we made: unlinked only if */
	ino_t inode;			/* it is still ours */
	TAILQ_ENTRY(pooled) entry;
};

struct socket_pool { TAILQ_HEAD(, pooled) sockets; };

static const char *
type_name(int type)
{
	return type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "datagram" : "other";
}

static bool
set_flag(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

/* So that a reply to a datagram leaves from the address that was asked (RULES U7). */
static bool
set_packet_info(int fd, int family)
{
	if (family == AF_INET)
		return set_flag(fd, IPPROTO_IP, IP_PKTINFO);
	return family != AF_INET6 || set_flag(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
}

/* Fills in what the kernel knows of the bound socket. */
static bool
describe(struct socket *socket)
{
	struct endpoint bound;
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	socklen_t type_len = sizeof(socket->type);

	memset(&address, 0, sizeof(address));
	if (getsockname(socket->fd, (struct sockaddr *)&address, &len) == -1 ||
	    getsockopt(socket->fd, SOL_SOCKET, SO_TYPE, &socket->type, &type_len) == -1)
		return false;
	socket->family = address.ss_family;
	if (address.ss_family == AF_INET || address.ss_family == AF_INET6) {
		endpoint_from_sockaddr(&bound, (const struct sockaddr *)&address, len);
		socket->port = endpoint_port(&bound);
	}
	return true;
}

static void
add_passed(struct socket_pool *pool, int fd, const char *name)
{
	struct pooled *item = mem_zalloc(sizeof(*item));
	int flags = fcntl(fd, F_GETFL);

	item->socket.fd = fd;
	item->is_inherited = true;
	item->endpoint.kind = ENDPOINT_SYSTEMD;
	text_copy(item->endpoint.text, sizeof(item->endpoint.text), name);
	item->socket.name = item->endpoint.text;
	if (flags == -1 || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 || !describe(&item->socket)) {
		/* No socket at all; who asks for the name hears that it was not passed. */
		free(item);
		return;
	}
	TAILQ_INSERT_TAIL(&pool->sockets, item, entry);
}

/* sd_listen_fds_with_names(3), without its library. */
static void
take_passed(struct socket_pool *pool)
{
	const char *process = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t pid, count;
	char name[ENDPOINT_TEXT_MAX];

	if (process == NULL || number == NULL || !text_parse_number(process, &pid) ||
	    pid != (uint64_t)getpid() || !text_parse_number(number, &count))
		return;
	for (int i = 0; i < PASSED_MAX && (uint64_t)i < count; i++) {
		size_t len = names != NULL ? strcspn(names, ":") : 0;

		text_copy(name, sizeof(name), "systemd:");
		if (len == 0 || len >= sizeof(name) - strlen("systemd:")) {
			text_copy(name, sizeof(name), "systemd:unknown");
		} else {
			memcpy(name + strlen("systemd:"), names, len);
			name[strlen("systemd:") + len] = '\0';
		}
		add_passed(pool, FIRST_PASSED + i, name);
		if (names != NULL)
			names = names[len] == ':' ? names + len + 1 : NULL;
	}
}

struct socket_pool *
socket_pool_new(void)
{
	struct socket_pool *pool = mem_zalloc(sizeof(*pool));

	TAILQ_INIT(&pool->sockets);
	take_passed(pool);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return pool;
}

/* Whether somebody answers at the path.  A stale one refuses. */
static bool
check_stale(const struct endpoint *endpoint, int type, struct error *err)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failure = 0;

	if (fd == -1)
		return error_set(err, ERROR_NETWORK, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, &endpoint->address.any, endpoint->address_len) == -1)
		failure = errno;
	close(fd);
	if (failure == ECONNREFUSED)
		return true;
	if (failure == 0 || failure == EAGAIN || failure == EINPROGRESS || failure == EPROTOTYPE)
		return error_set(err, ERROR_NETWORK, "another process listens at %s",
		    endpoint->text);
	return error_set(err, ERROR_NETWORK, "cannot tell whether %s is in use: %s",
	    endpoint->text, strerror(failure));
}

/* Removes what an earlier run left, and nothing else. */
static bool
clear_path(const struct endpoint *endpoint, int type, struct error *err)
{
	const char *path = endpoint->address.un.sun_path;
	struct stat status;

	if (lstat(path, &status) == -1) {
		if (errno == ENOENT)
			return true;
		return error_set(err, ERROR_NETWORK, "cannot look at %s: %s", path,
		    strerror(errno));
	}
	if (!S_ISSOCK(status.st_mode))
		return error_set(err, ERROR_NETWORK, "%s is there already and is no socket", path);
	if (status.st_uid != geteuid() && geteuid() != 0)
		return error_set(err, ERROR_NETWORK, "the socket %s belongs to another user", path);
	if (!check_stale(endpoint, type, err))
		return false;
	if (unlink(path) == -1 && errno != ENOENT)
		return error_set(err, ERROR_NETWORK, "cannot remove the stale socket %s: %s", path,
		    strerror(errno));
	return true;
}

/* Until its mode is set nobody else may open it; the umask is no wider than the
 * daemon's own, so that other threads lose nothing by it. */
static bool
bind_unix(struct pooled *item, int type, unsigned unix_mode, struct error *err)
{
	const struct endpoint *endpoint = &item->endpoint;
	const char *path = endpoint->address.un.sun_path;
	struct stat status;
	mode_t before;
	int outcome;

	if (!clear_path(endpoint, type, err))
		return false;
	before = umask(0177);
	outcome = bind(item->socket.fd, &endpoint->address.any, endpoint->address_len);
	umask(before);
	if (outcome == -1)
		return error_set(err, ERROR_NETWORK, "cannot bind %s: %s", endpoint->text,
		    strerror(errno));
	if (chmod(path, (mode_t)unix_mode) == -1 || lstat(path, &status) == -1) {
		error_set(err, ERROR_NETWORK, "cannot set the mode of %s: %s", path,
		    strerror(errno));
		unlink(path);
		return false;
	}
	item->device = status.st_dev;
	item->inode = status.st_ino;
	return true;
}

static bool
bind_inet(struct pooled *item, int type, struct error *err)
{
	const struct endpoint *endpoint = &item->endpoint;
	int fd = item->socket.fd, family = endpoint->address.any.sa_family;

	/* Not for datagrams: there it would let another process take them. */
	if ((type == SOCK_STREAM && !set_flag(fd, SOL_SOCKET, SO_REUSEADDR)) ||
	    (family == AF_INET6 && !set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY)))
		return error_set(err, ERROR_NETWORK, "cannot set options of %s: %s",
		    endpoint->text, strerror(errno));
	if (bind(fd, &endpoint->address.any, endpoint->address_len) == -1)
		return error_set(err, ERROR_NETWORK, "cannot bind %s: %s", endpoint->text,
		    strerror(errno));
	return true;
}

static void
remove_path(const struct pooled *item)
{
	const char *path = item->endpoint.address.un.sun_path;
	struct stat status;

	if (item->endpoint.kind == ENDPOINT_UNIX && item->inode != 0 &&
	    lstat(path, &status) == 0 && status.st_dev == item->device &&
	    status.st_ino == item->inode)
		unlink(path);
}

static struct pooled *
open_socket(const struct endpoint *endpoint, int type, unsigned unix_mode, struct error *err)
{
	struct pooled *item = mem_zalloc(sizeof(*item));
	int family = endpoint->address.any.sa_family;

	item->endpoint = *endpoint;
	item->socket.name = item->endpoint.text;
	item->socket.fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (item->socket.fd == -1) {
		error_set(err, ERROR_NETWORK, "cannot make a socket for %s: %s", endpoint->text,
		    strerror(errno));
		goto fail;
	}
	if (family == AF_UNIX ? !bind_unix(item, type, unix_mode, err) :
	    !bind_inet(item, type, err))
		goto fail;
	if ((type == SOCK_STREAM && listen(item->socket.fd, BACKLOG) == -1) ||
	    (type == SOCK_DGRAM && !set_packet_info(item->socket.fd, family)) ||
	    !describe(&item->socket)) {
		error_set(err, ERROR_NETWORK, "cannot listen at %s: %s", endpoint->text,
		    strerror(errno));
		goto fail;
	}
	return item;
fail:
	remove_path(item);
	if (item->socket.fd != -1)
		close(item->socket.fd);
	free(item);
	return NULL;
}

static void
hold(struct socket_list *list, struct pooled *item)
{
	item->holders++;
	list->items = mem_grow(list->items, list->count + 1, sizeof(struct socket *));
	list->items[list->count++] = &item->socket;
}

static bool
check_passed(const struct socket *socket, int type, struct error *err)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (socket->type != type)
		return error_set(err, ERROR_NETWORK, "%s is a %s socket, not a %s socket",
		    socket->name, type_name(socket->type), type_name(type));
	if (type == SOCK_STREAM && (getsockopt(socket->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens,
	    &len) == -1 || !listens))
		return error_set(err, ERROR_NETWORK, "%s is a socket that does not listen"
		    " (Accept=yes?)", socket->name);
	if (type == SOCK_DGRAM && !set_packet_info(socket->fd, socket->family))
		return error_set(err, ERROR_NETWORK, "cannot set options of %s: %s", socket->name,
		    strerror(errno));
	return true;
}

static bool
acquire_passed(struct socket_pool *pool, const struct endpoint *endpoint, int type,
    struct socket_list *list, struct error *err)
{
	struct pooled *item;
	bool found = false;

	TAILQ_FOREACH(item, &pool->sockets, entry) {
		if (!item->is_inherited || strcmp(item->endpoint.text, endpoint->text) != 0)
			continue;
		if (!check_passed(&item->socket, type, err))
			return false;
		hold(list, item);
		found = true;
	}
	return found || error_set(err, ERROR_NETWORK, "systemd passed no socket for %s",
	    endpoint->text);
}

static bool
acquire_one(struct socket_pool *pool, const struct endpoint *endpoint, int type,
    unsigned unix_mode, struct socket_list *list, struct error *err)
{
	struct pooled *item;

	if (endpoint->kind == ENDPOINT_SYSTEMD)
		return acquire_passed(pool, endpoint, type, list, err);
	TAILQ_FOREACH(item, &pool->sockets, entry) {
		if (!item->is_inherited && item->socket.type == type &&
		    strcmp(item->endpoint.text, endpoint->text) == 0)
			break;
	}
	if (item == NULL) {
		item = open_socket(endpoint, type, unix_mode, err);
		if (item == NULL)
			return false;
		TAILQ_INSERT_TAIL(&pool->sockets, item, entry);
	}
	hold(list, item);
	return true;
}

bool
socket_acquire(struct socket_pool *pool, const struct endpoint_list *endpoints, int type,
    unsigned unix_mode, const char *what, struct socket_list *out, struct error *err)
{
	struct socket_list list = { .items = NULL };

	for (size_t i = 0; i < endpoints->count; i++) {
		if (!acquire_one(pool, &endpoints->items[i], type, unix_mode, &list, err)) {
			socket_release(pool, &list);
			return error_prefix(err, "%s", what);
		}
	}
	*out = list;
	return true;
}

static void
discard(struct socket_pool *pool, struct pooled *item)
{
	TAILQ_REMOVE(&pool->sockets, item, entry);
	remove_path(item);
	close(item->socket.fd);
	free(item);
}

void
socket_release(struct socket_pool *pool, struct socket_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct pooled *item = (struct pooled *)list->items[i];

		if (--item->holders == 0 && !item->is_inherited)
			discard(pool, item);
	}
	free(list->items);
	*list = (struct socket_list){ .items = NULL };
}

unsigned
socket_peer_uid(int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		return (unsigned)-1;
	return peer.uid;
}

bool
socket_pool_has_udp_port(const struct socket_pool *pool, uint16_t port)
{
	const struct pooled *item;

	TAILQ_FOREACH(item, &pool->sockets, entry) {
		if (item->socket.type == SOCK_DGRAM && item->socket.port == port && port != 0)
			return true;
	}
	return false;
}

void
socket_pool_free(struct socket_pool *pool)
{
	struct pooled *item;

	if (pool == NULL)
		return;
	while ((item = TAILQ_FIRST(&pool->sockets)) != NULL)
		discard(pool, item);
	free(pool);
}

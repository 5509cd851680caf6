#define _GNU_SOURCE
#include "nub_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

// By way of a descriptor no path is too long (unix(7)).
static struct sockaddr_un at(int descriptor, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d%s", descriptor, name);
  return address;
}

int nub_relay_hidden_listener(const char *directory, int backlog, int *node) {
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/nub-XXXXXX", directory) >= sizeof path) return -ENAMETOOLONG;
  // Mode 0700: for the moments of its life nobody else's either.
  if (mkdtemp(path) == NULL) return -errno;
  int inode = -1, listener = -1, failure = 0;
  int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) failure = errno;
  if (!failure && (listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0) failure = errno;
  if (!failure) {
    struct sockaddr_un address = at(folder, "/relay");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) failure = errno;
  }
  if (!failure && (inode = openat(folder, "relay", O_PATH | O_NOFOLLOW | O_CLOEXEC)) < 0) failure = errno;
  if (!failure && listen(listener, backlog) < 0) failure = errno;
  if (folder >= 0) {
    unlinkat(folder, "relay", 0);
    close(folder);
  }
  rmdir(path);
  if (failure) {
    if (listener >= 0) close(listener);
    if (inode >= 0) close(inode);
    return -failure;
  }
  *node = inode;
  return listener;
}

int nub_relay_connect(int node, int send_buffer) {
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -errno;
  (void)setsockopt(made, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
  struct sockaddr_un address = at(node, "");
  if (connect(made, (struct sockaddr *)&address, sizeof address) == 0) return made;
  int failure = errno;
  close(made);
  return -failure;
}

int nub_relay_duplicate(int socket) {
  int made = fcntl(socket, F_DUPFD_CLOEXEC, 3);
  if (made < 0) return -errno;
  int flags = fcntl(made, F_GETFL);
  if (flags >= 0 && fcntl(made, F_SETFL, flags | O_NONBLOCK) >= 0) return made;
  int failure = errno;
  close(made);
  return -failure;
}

int nub_relay_accept(int listener) { return result(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

int nub_relay_peer_address(int socket, char *text, size_t size) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (size == 0) return -EINVAL;
  text[0] = 0;
  if (getpeername(socket, (struct sockaddr *)&address, &length) < 0) return -errno;
  const void *bytes = address.ss_family == AF_INET ? (const void *)&((struct sockaddr_in *)&address)->sin_addr
                                                   : (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr;
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return 0;
  return inet_ntop(address.ss_family, bytes, text, (socklen_t)size) == NULL ? -errno : 0;
}

int nub_relay_has_room(int count) {
  int taken[64], made = 0;
  if (count > 64) count = 64;
  while (made < count && (taken[made] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) >= 0) made++;
  int is_there = made == count;
  while (made > 0) close(taken[--made]);
  return is_there;
}

int nub_relay_read(int socket, void *bytes, size_t count) {
  ssize_t value;
  do value = recv(socket, bytes, count, MSG_DONTWAIT); while (value < 0 && errno == EINTR);
  return result(value);
}

int nub_relay_write(int socket, const void *bytes, size_t count) {
  ssize_t value;
  do value = send(socket, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL); while (value < 0 && errno == EINTR);
  return result(value);
}

int nub_relay_end_writing(int socket) { return result(shutdown(socket, SHUT_WR)); }

// `made`, connected and not waiting any more; closed if that fails.
static int connected(int made, const struct sockaddr *address, socklen_t length) {
  int value;
  do value = connect(made, address, length); while (value < 0 && errno == EINTR);
  int failure = value < 0 ? errno : 0;
  int flags = fcntl(made, F_GETFL);
  if (!failure && (flags < 0 || fcntl(made, F_SETFL, flags | O_NONBLOCK) < 0)) failure = errno;
  if (!failure) return made;
  close(made);
  return -failure;
}

static struct addrinfo *look_up(const char *host, const char *port, int flags) {
  // As libzmq without ZMQ_IPV6.
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = flags}, *found = NULL;
  return getaddrinfo(host, port, &hints, &found) == 0 ? found : NULL;
}

int nub_relay_dial(const char *host, const char *port, const char *source, const char *source_port, int seconds) {
  struct addrinfo *found = look_up(host, port, 0), *from = NULL;
  if (found == NULL) return -EHOSTUNREACH;
  if (source != NULL && (from = look_up(source, source_port, AI_PASSIVE)) == NULL) {
    freeaddrinfo(found);
    return -EADDRNOTAVAIL;
  }
  int made = -EHOSTUNREACH;
  for (struct addrinfo *one = found; one != NULL && made < 0; one = one->ai_next) {
    int fresh = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fresh < 0) {
      made = -errno;
      continue;
    }
    // It bounds connect(2), too (socket(7)); later calls do not wait anyway.
    struct timeval patience = {.tv_sec = seconds};
    (void)setsockopt(fresh, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (from != NULL && (setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
                         bind(fresh, from->ai_addr, from->ai_addrlen) < 0)) {
      made = -errno;
      close(fresh);
      continue;
    }
    made = connected(fresh, one->ai_addr, one->ai_addrlen);
  }
  freeaddrinfo(found);
  if (from != NULL) freeaddrinfo(from);
  return made;
}

int nub_relay_dial_path(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = 0;
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -errno;
  size_t size = offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '@' ? 0 : 1);
  return connected(made, (const struct sockaddr *)&address, (socklen_t)size);
}

int nub_relay_keep_alive(int socket, int idle, int interval, int count) {
  int on = 1;
  if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) return -errno;
  if (setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0) return -errno;
  if (setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) < 0) return -errno;
  if (setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) < 0) return -errno;
  return result(setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count));
}

int nub_relay_epoll(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int nub_relay_watch(int epoll, int socket, uint64_t tag) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = tag};
  return result(epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event));
}

int nub_relay_watch_listener(int epoll, int socket, uint64_t tag) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
  return result(epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event));
}

int nub_relay_pause_listener(int epoll, int socket, uint64_t tag, int is_paused) {
  struct epoll_event event = {.events = is_paused ? 0 : EPOLLIN, .data.u64 = tag};
  return result(epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event));
}

int nub_relay_wait(int epoll, nub_relay_event *events, int count, int milliseconds) {
  struct epoll_event waiting[64];
  int found = epoll_wait(epoll, waiting, count < 64 ? count : 64, milliseconds);
  if (found < 0) return errno == EINTR ? 0 : -errno;
  for (int index = 0; index < found; index++) {
    uint32_t bits = waiting[index].events;
    events[index] = (nub_relay_event){
        .tag = waiting[index].data.u64,
        .readable = (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
        .writable = (bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
        .ended = (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
        .gone = (bits & (EPOLLHUP | EPOLLERR)) != 0,
    };
  }
  return found;
}

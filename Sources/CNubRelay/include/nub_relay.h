// The system calls of the relay that Swift cannot say: their flags are enumerators behind macros of the same names, or hide behind
// _GNU_SOURCE, and sockaddr_un ends in an array. Each function does one thing and returns a non-negative number or -errno.
#ifndef NUB_RELAY_H
#define NUB_RELAY_H

#include <stddef.h>
#include <stdint.h>

// A unix socket that listens, and that nobody finds: it is made in `directory` under a name that is taken away at once. `*node` is a
// descriptor of its inode (O_PATH), by which this process, and nobody else, can connect.
int nub_relay_hidden_listener(const char *directory, int backlog, int *node);
// Connects to the socket that a node is of; never waits.
int nub_relay_connect(int node, int send_buffer);

// A second descriptor of the same socket, whose calls never wait.
int nub_relay_duplicate(int socket);
int nub_relay_accept(int listener);
// The peer's IP address as text; empty for other families.
int nub_relay_peer_address(int socket, char *text, size_t size);
// Whether `count` more descriptors could be had now.
int nub_relay_has_room(int count);

int nub_relay_read(int socket, void *bytes, size_t count);
int nub_relay_write(int socket, const void *bytes, size_t count);
// No more will be written: the other side reads to the end and then sees it, without being told of a hang-up.
int nub_relay_end_writing(int socket);

// Connects to a host; looking its name up may take any time, connecting `seconds` for each of its addresses. `source` and
// `source_port` are null, or where to connect from.
int nub_relay_dial(const char *host, const char *port, const char *source, const char *source_port, int seconds);
// Connects to a path, or with @ in front to an abstract name.
int nub_relay_dial_path(const char *path);
int nub_relay_keep_alive(int socket, int idle, int interval, int count);

typedef struct {
  uint64_t tag;
  // Each of them may be 1: to read, to write, no more will come, gone altogether.
  uint8_t readable, writable, ended, gone;
} nub_relay_event;

int nub_relay_epoll(void);
// Told once of each change (EPOLLET), in both directions.
int nub_relay_watch(int epoll, int socket, uint64_t tag);
// Told for as long as there is something to read; not at all if paused.
int nub_relay_watch_listener(int epoll, int socket, uint64_t tag);
int nub_relay_pause_listener(int epoll, int socket, uint64_t tag, int is_paused);
int nub_relay_wait(int epoll, nub_relay_event *events, int count, int milliseconds);

#endif

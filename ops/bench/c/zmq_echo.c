// The baseline of the whole way: a process that takes nub's frames from libzmq and sends a reply of nub's shape, without doing
// any work and without a disk.
//
//   cc -O2 -o zmq_echo zmq_echo.c -lzmq
//   zmq_echo pipeline JOBS REPLIES      PULL and PUSH, both connected
//   zmq_echo direct ENDPOINT            ROUTER, bound
//
// Runs until it is killed.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { most_frames = 300 };

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "zmq_echo: %s: %s\n", what, zmq_strerror(zmq_errno()));
  exit(1);
}

static void send_copy(void *socket, const void *bytes, size_t size, int more) {
  while (zmq_send(socket, bytes, size, more ? ZMQ_SNDMORE : 0) < 0) check(errno == EINTR, "zmq_send");
}

static void send_message(void *socket, zmq_msg_t *message, int more) {
  while (zmq_msg_send(message, socket, more ? ZMQ_SNDMORE : 0) < 0) check(errno == EINTR, "zmq_msg_send");
}

int main(int argc, char **argv) {
  int pipeline = argc == 4 && strcmp(argv[1], "pipeline") == 0;
  if (!pipeline && !(argc == 3 && strcmp(argv[1], "direct") == 0)) {
    fprintf(stderr, "usage: zmq_echo pipeline JOBS REPLIES | zmq_echo direct ENDPOINT\n");
    return 2;
  }
  void *context = zmq_ctx_new();
  void *in = zmq_socket(context, pipeline ? ZMQ_PULL : ZMQ_ROUTER), *out = in;
  if (pipeline) {
    out = zmq_socket(context, ZMQ_PUSH);
    check(zmq_connect(out, argv[3]) == 0, argv[3]);
    check(zmq_connect(in, argv[2]) == 0, argv[2]);
  } else {
    // Without a limit: a ROUTER silently drops what exceeds it.
    int unlimited = 0;
    zmq_setsockopt(in, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
    check(zmq_bind(in, argv[2]) == 0, argv[2]);
  }
  static const char meta[] =
      "{\"worker\":\"worker-0\",\"engine\":\"kvm\",\"sandbox\":12,\"attempt\":1,\"duplicate\":false,\"queued_us\":1234,"
      "\"run_us\":12}";
  static const char status[4] = {0};
  static zmq_msg_t frames[most_frames];
  int envelope = pipeline ? 0 : 1;
  for (int i = 0; i < most_frames; i++) zmq_msg_init(&frames[i]);
  for (;;) {
    int count = 0;
    do {
      zmq_msg_t *frame = &frames[count < most_frames ? count : most_frames - 1];
      while (zmq_msg_recv(frame, in, 0) < 0) check(errno == EINTR, "zmq_msg_recv");
      count++;
      if (!zmq_msg_more(frame)) break;
    } while (1);
    if (count < envelope + 5 || count > most_frames) continue;
    // Magic, verb, id, operand, body: the reply has the id, and the body of a call or the operand of a put.
    zmq_msg_t *first = &frames[envelope];
    int put = zmq_msg_size(&first[1]) == 7;
    if (envelope) send_message(out, &frames[0], 1);
    send_message(out, &first[0], 1);
    send_copy(out, "reply", 5, 1);
    send_message(out, &first[2], 1);
    send_copy(out, status, 4, 1);
    send_message(out, &first[put ? 3 : 4], 1);
    send_copy(out, meta, sizeof meta - 1, 0);
  }
}

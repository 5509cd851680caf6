// The baselines of the figures of caps.
//
//   cc -O2 -msha -msse4.1 -o cap_parts cap_parts.c
//   cap_parts hash COUNT       the Merkle tree of 1 MiB with SHA-256 on the processor's SHA instructions; MB/s
//   cap_parts copy COUNT       memcpy of 1 MiB; nanoseconds
//   cap_parts probe COUNT      a look-up among 1000 hashes in an open table of 4096; nanoseconds
//
// Prints one JSON object. Needs a processor with SHA instructions.

#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// FIPS 180-4, 4.2.2.
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void compress(__m128i *s0, __m128i *s1, const uint8_t *block) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
  __m128i w[4], a = *s0, b = *s1;
  for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), swap);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    __m128i m = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(K + 4 * i)));
    b = _mm_sha256rnds2_epu32(b, a, m);
    a = _mm_sha256rnds2_epu32(a, b, _mm_shuffle_epi32(m, 0x0e));
    if (i < 12) {
      __m128i t = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
      w[i & 3] = _mm_sha256msg2_epu32(t, w[(i + 3) & 3]);
    }
  }
  *s0 = _mm_add_epi32(*s0, a);
  *s1 = _mm_add_epi32(*s1, b);
}

// SHA-256 of 64 bytes.
static void hash64(const uint8_t *in, uint8_t *out) {
  static const uint8_t padding[64] = {[0] = 0x80, [62] = 2};
  __m128i abef = _mm_set_epi32(0x6a09e667, 0xbb67ae85, 0x510e527f, 0x9b05688c);
  __m128i cdgh = _mm_set_epi32(0x3c6ef372, 0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
  compress(&abef, &cdgh, in);
  compress(&abef, &cdgh, padding);
  uint32_t x[4], y[4];
  _mm_storeu_si128((__m128i *)x, abef);
  _mm_storeu_si128((__m128i *)y, cdgh);
  uint32_t words[8] = {x[3], x[2], y[3], y[2], x[1], x[0], y[1], y[0]};
  for (int i = 0; i < 8; i++) words[i] = __builtin_bswap32(words[i]);
  memcpy(out, words, 32);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
  long count = argc == 3 ? atol(argv[2]) : 0;
  size_t size = 1 << 20;
  uint8_t *data = malloc(size), *copy = malloc(size);
  for (size_t i = 0; i < size; i++) data[i] = i * 31;
  if (count > 0 && strcmp(argv[1], "hash") == 0) {
    // SHA-256 of 64 zero bytes, so that a wrong baseline cannot pass for a fast one.
    static const uint8_t zeros[64], known[4] = {0xf5, 0xa5, 0xfd, 0x42};
    hash64(zeros, copy);
    if (memcmp(copy, known, 4)) {
      fprintf(stderr, "cap_parts: SHA-256 is wrong\n");
      return 1;
    }
    double started = now();
    for (long n = 0; n < count; n++) {
      const uint8_t *from = data;
      for (size_t left = size; left >= 64; left /= 2, from = copy)
        for (size_t i = 0; i < left / 64; i++) hash64(from + 64 * i, copy + 32 * i);
    }
    printf("{\"mb_per_second\": %.2f}\n", count * size / (now() - started) / 1e6);
  } else if (count > 0 && strcmp(argv[1], "copy") == 0) {
    double started = now();
    for (long n = 0; n < count; n++) {
      memcpy(copy, data, size);
      __asm__ volatile("" : : "r"(copy) : "memory");
    }
    printf("{\"ns\": %.2f}\n", (now() - started) / count * 1e9);
  } else if (count > 0 && strcmp(argv[1], "probe") == 0) {
    static struct { uint64_t state, hash[4]; } table[4096];
    static uint64_t hashes[1000][4];
    uint64_t state = 88172645463325252ull, found = 0;
    for (int i = 0; i < 1000; i++) {
      for (int j = 0; j < 4; j++) state ^= state << 13, state ^= state >> 7, state ^= state << 17, hashes[i][j] = state;
      size_t slot = hashes[i][0] & 4095;
      while (table[slot].state) slot = (slot + 1) & 4095;
      table[slot].state = 1;
      memcpy(table[slot].hash, hashes[i], 32);
    }
    double started = now();
    for (long n = 0; n < count; n++) {
      const uint64_t *wanted = hashes[n % 1000];
      for (size_t slot = wanted[0] & 4095; table[slot].state; slot = (slot + 1) & 4095)
        if (memcmp(table[slot].hash, wanted, 32) == 0) {
          found++;
          break;
        }
    }
    double seconds = now() - started;
    if (found != (uint64_t)count) return 1;
    printf("{\"ns\": %.3f}\n", seconds / count * 1e9);
  } else {
    fprintf(stderr, "usage: cap_parts hash|copy|probe COUNT\n");
    return 2;
  }
  return 0;
}

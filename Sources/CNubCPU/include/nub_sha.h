#pragma once
// SHA-256 (FIPS 180-4) on the CPU's SHA extensions, for host and guest.
//
// Header only and freestanding, because the guest is compiled for bare metal without a C library. That also rules out
// clang's intrinsics headers, which want stdlib.h in a hosted compile: the three SHA instructions are compiler builtins
// here, the rest is vector arithmetic. Each function carries its own target attribute, so the surrounding code keeps the
// x86-64 baseline; a caller asks nub_sha256_available() once and uses the rest only if the answer is 1.

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

#define NUB_SHA_FN static inline __attribute__((target("sha,sse4.1,ssse3")))
#define NUB_SHA_PART static inline __attribute__((always_inline, target("sha,sse4.1,ssse3")))

/// Four 32-bit words of an XMM register; the one called memory may lie at any address.
typedef uint32_t nub_u32x4 __attribute__((vector_size(16)));
typedef int32_t nub_i32x4 __attribute__((vector_size(16)));
typedef uint8_t nub_u8x16 __attribute__((vector_size(16)));
typedef uint32_t nub_u32x4_memory __attribute__((vector_size(16), aligned(1), may_alias));

/// CPUID with ECX = 0; `out` gets EAX, EBX, ECX, EDX.
static inline void nub_sha256_cpuid(uint32_t leaf, uint32_t *out) {
  __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

/// 1 if the CPU has the SHA extensions and the SSE levels used with them. Intel SDM vol. 2A, CPUID: leaf 7 EBX bit 29,
/// leaf 1 ECX bits 9 (SSSE3) and 19 (SSE4.1). CPUID traps on some hypervisors: ask once and keep the answer.
static inline int nub_sha256_available(void) {
  uint32_t r[4];
  nub_sha256_cpuid(0, r);
  if (r[0] < 7) return 0;
  nub_sha256_cpuid(7, r);
  if (!(r[1] & (1u << 29))) return 0;
  nub_sha256_cpuid(1, r);
  return (r[2] & (1u << 9)) && (r[2] & (1u << 19));
}

/// The round constants K of FIPS 180-4, section 4.2.2.
static const uint32_t nub_sha256_k[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/// K plus the message schedule of the second block of every 64-byte message: 0x80, zeros, the length of 512 bits. The
/// block never changes, so a Merkle node's second compression needs no schedule of its own.
static const uint32_t nub_sha256_k_pad64[64] __attribute__((aligned(16))) = {
    0xc28a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf374,
    0x649b69c1, 0xf0fe4786, 0x0fe1edc6, 0x240cf254, 0x4fe9346f, 0x6cc984be, 0x61b9411e, 0x16f988fa,
    0xf2c65152, 0xa88e5a6d, 0xb019fc65, 0xb9d99ec7, 0x9a1231c3, 0xe70eeaa0, 0xfdb1232b, 0xc7353eb0,
    0x3069bad5, 0xcb976d5f, 0x5a0f118f, 0xdc1eeefd, 0x0a35b689, 0xde0b7a04, 0x58f4ca9d, 0xe15d5b16,
    0x007f3e86, 0x37088980, 0xa507ea32, 0x6fab9537, 0x17406110, 0x0d8cd6f1, 0xcdaa3b6d, 0xc0bbbe37,
    0x83613bda, 0xdb48a363, 0x0b02e931, 0x6fd15ca7, 0x521afaca, 0x31338431, 0x6ed41a95, 0x6d437890,
    0xc39c91f2, 0x9eccabbd, 0xb5c9a0e6, 0x532fb63c, 0xd2c741c6, 0x07237ea3, 0xa4954b68, 0x4c191d76,
};

/// The initial state (FIPS 180-4, section 5.3.3) in the order that SHA256RNDS2 works in: A B E F and C D G H, the first
/// letter in the highest element.
static const uint32_t nub_sha256_abef[4] __attribute__((aligned(16))) = {
    0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667};
static const uint32_t nub_sha256_cdgh[4] __attribute__((aligned(16))) = {
    0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372};

NUB_SHA_PART nub_u32x4 nub_sha256_rnds2(nub_u32x4 cdgh, nub_u32x4 abef, nub_u32x4 kw) {
  return (nub_u32x4)__builtin_ia32_sha256rnds2((nub_i32x4)cdgh, (nub_i32x4)abef, (nub_i32x4)kw);
}

NUB_SHA_PART nub_u32x4 nub_sha256_msg1(nub_u32x4 a, nub_u32x4 b) {
  return (nub_u32x4)__builtin_ia32_sha256msg1((nub_i32x4)a, (nub_i32x4)b);
}

NUB_SHA_PART nub_u32x4 nub_sha256_msg2(nub_u32x4 a, nub_u32x4 d) {
  return (nub_u32x4)__builtin_ia32_sha256msg2((nub_i32x4)a, (nub_i32x4)d);
}

/// One message on its way through the compression function: its state and the last 16 words of its schedule.
struct nub_sha256_lane {
  nub_u32x4 abef, cdgh, w0, w1, w2, w3;
};

NUB_SHA_PART nub_u32x4 nub_sha256_constant(const uint32_t *table, int group) {
  return *(const nub_u32x4_memory *)(table + 4 * group);
}

/// Four big-endian words of a message, in the CPU's order.
NUB_SHA_PART nub_u32x4 nub_sha256_swap(nub_u32x4 words) {
  const nub_u8x16 b = (nub_u8x16)words;
  return (nub_u32x4)__builtin_shufflevector(b, b, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

NUB_SHA_PART void nub_sha256_load(struct nub_sha256_lane *lane, const uint8_t *block) {
  lane->w0 = nub_sha256_swap(*(const nub_u32x4_memory *)block);
  lane->w1 = nub_sha256_swap(*(const nub_u32x4_memory *)(block + 16));
  lane->w2 = nub_sha256_swap(*(const nub_u32x4_memory *)(block + 32));
  lane->w3 = nub_sha256_swap(*(const nub_u32x4_memory *)(block + 48));
}

/// Four rounds; `kw` is K plus schedule of those four.
NUB_SHA_PART void nub_sha256_rounds4(struct nub_sha256_lane *lane, nub_u32x4 kw) {
  lane->cdgh = nub_sha256_rnds2(lane->cdgh, lane->abef, kw);
  lane->abef = nub_sha256_rnds2(lane->abef, lane->cdgh, __builtin_shufflevector(kw, kw, 2, 3, 2, 3));
}

/// Replaces the oldest four schedule words, `a`, by the four that follow `d` (FIPS 180-4, section 6.2.2, step 1).
NUB_SHA_PART nub_u32x4 nub_sha256_schedule(nub_u32x4 a, nub_u32x4 b, nub_u32x4 c, nub_u32x4 d) {
  nub_u32x4 sum = nub_sha256_msg1(a, b) + __builtin_shufflevector(c, d, 1, 2, 3, 4);
  return nub_sha256_msg2(sum, d);
}

/// Sixteen rounds on the schedule that the lane holds, and the schedule of the next sixteen.
NUB_SHA_PART void nub_sha256_rounds16(struct nub_sha256_lane *lane, int group, int more) {
  nub_sha256_rounds4(lane, lane->w0 + nub_sha256_constant(nub_sha256_k, group));
  if (more) lane->w0 = nub_sha256_schedule(lane->w0, lane->w1, lane->w2, lane->w3);
  nub_sha256_rounds4(lane, lane->w1 + nub_sha256_constant(nub_sha256_k, group + 1));
  if (more) lane->w1 = nub_sha256_schedule(lane->w1, lane->w2, lane->w3, lane->w0);
  nub_sha256_rounds4(lane, lane->w2 + nub_sha256_constant(nub_sha256_k, group + 2));
  if (more) lane->w2 = nub_sha256_schedule(lane->w2, lane->w3, lane->w0, lane->w1);
  nub_sha256_rounds4(lane, lane->w3 + nub_sha256_constant(nub_sha256_k, group + 3));
  if (more) lane->w3 = nub_sha256_schedule(lane->w3, lane->w0, lane->w1, lane->w2);
}

/// The state as the eight big-endian words of a digest.
NUB_SHA_PART void nub_sha256_store(const struct nub_sha256_lane *lane, uint8_t *digest) {
  nub_u32x4 feba = __builtin_shufflevector(lane->abef, lane->abef, 3, 2, 1, 0);
  nub_u32x4 dchg = __builtin_shufflevector(lane->cdgh, lane->cdgh, 1, 0, 3, 2);
  nub_u32x4 dcba = __builtin_shufflevector(feba, dchg, 0, 1, 6, 7);
  nub_u32x4 hgfe = __builtin_shufflevector(feba, dchg, 2, 3, 4, 5);
  *(nub_u32x4_memory *)digest = nub_sha256_swap(dcba);
  *(nub_u32x4_memory *)(digest + 16) = nub_sha256_swap(hgfe);
}

/// Runs `count` 64-byte blocks through the compression function. `state` is A...H in the CPU's order.
NUB_SHA_FN void nub_sha256_compress(uint32_t *state, const uint8_t *blocks, size_t count) {
  nub_u32x4 dcba = *(const nub_u32x4_memory *)state;
  nub_u32x4 hgfe = *(const nub_u32x4_memory *)(state + 4);
  nub_u32x4 cdab = __builtin_shufflevector(dcba, dcba, 1, 0, 3, 2);
  nub_u32x4 efgh = __builtin_shufflevector(hgfe, hgfe, 3, 2, 1, 0);
  struct nub_sha256_lane lane;
  lane.abef = __builtin_shufflevector(efgh, cdab, 2, 3, 4, 5);
  lane.cdgh = __builtin_shufflevector(efgh, cdab, 0, 1, 6, 7);
  for (; count > 0; count--, blocks += 64) {
    const nub_u32x4 abef = lane.abef, cdgh = lane.cdgh;
    nub_sha256_load(&lane, blocks);
    nub_sha256_rounds16(&lane, 0, 1);
    nub_sha256_rounds16(&lane, 4, 1);
    nub_sha256_rounds16(&lane, 8, 1);
    nub_sha256_rounds16(&lane, 12, 0);
    lane.abef += abef;
    lane.cdgh += cdgh;
  }
  nub_u32x4 feba = __builtin_shufflevector(lane.abef, lane.abef, 3, 2, 1, 0);
  nub_u32x4 dchg = __builtin_shufflevector(lane.cdgh, lane.cdgh, 1, 0, 3, 2);
  *(nub_u32x4_memory *)state = __builtin_shufflevector(feba, dchg, 0, 1, 6, 7);
  *(nub_u32x4_memory *)(state + 4) = __builtin_shufflevector(feba, dchg, 2, 3, 4, 5);
}

NUB_SHA_PART void nub_sha256_start(struct nub_sha256_lane *lane, const uint8_t *message) {
  lane->abef = nub_sha256_constant(nub_sha256_abef, 0);
  lane->cdgh = nub_sha256_constant(nub_sha256_cdgh, 0);
  nub_sha256_load(lane, message);
}

NUB_SHA_PART void nub_sha256_add_initial(struct nub_sha256_lane *lane) {
  lane->abef += nub_sha256_constant(nub_sha256_abef, 0);
  lane->cdgh += nub_sha256_constant(nub_sha256_cdgh, 0);
}

/// SHA-256 of each of `count` 64-byte messages, that is, of pairs of Merkle nodes: digest i of message i. `digests` may
/// be `messages` itself: digest i is written after message i has been read and never beyond it.
///
/// Two messages at a time: SHA256RNDS2 has a latency of about twice its cost, and the rounds of one message depend on
/// each other, so a second message runs in the gaps of the first.
NUB_SHA_FN void nub_sha256_hash_pairs(uint8_t *digests, const uint8_t *messages, size_t count) {
  struct nub_sha256_lane a, b;
  for (; count >= 2; count -= 2, messages += 128, digests += 64) {
    nub_sha256_start(&a, messages);
    nub_sha256_start(&b, messages + 64);
#pragma clang loop unroll(full)
    for (int group = 0; group < 16; group += 4) {
      nub_sha256_rounds16(&a, group, group < 12);
      nub_sha256_rounds16(&b, group, group < 12);
    }
    nub_sha256_add_initial(&a);
    nub_sha256_add_initial(&b);
    const nub_u32x4 a_abef = a.abef, a_cdgh = a.cdgh, b_abef = b.abef, b_cdgh = b.cdgh;
#pragma clang loop unroll(full)
    for (int group = 0; group < 16; group++) {
      const nub_u32x4 kw = nub_sha256_constant(nub_sha256_k_pad64, group);
      nub_sha256_rounds4(&a, kw);
      nub_sha256_rounds4(&b, kw);
    }
    a.abef += a_abef;
    a.cdgh += a_cdgh;
    b.abef += b_abef;
    b.cdgh += b_cdgh;
    nub_sha256_store(&a, digests);
    nub_sha256_store(&b, digests + 32);
  }
  if (count == 0) return;
  nub_sha256_start(&a, messages);
  nub_sha256_rounds16(&a, 0, 1);
  nub_sha256_rounds16(&a, 4, 1);
  nub_sha256_rounds16(&a, 8, 1);
  nub_sha256_rounds16(&a, 12, 0);
  nub_sha256_add_initial(&a);
  const nub_u32x4 abef = a.abef, cdgh = a.cdgh;
#pragma clang loop unroll(full)
  for (int group = 0; group < 16; group++) {
    nub_sha256_rounds4(&a, nub_sha256_constant(nub_sha256_k_pad64, group));
  }
  a.abef += abef;
  a.cdgh += cdgh;
  nub_sha256_store(&a, digests);
}

#undef NUB_SHA_FN
#undef NUB_SHA_PART

#else

// Other CPUs take the portable code in Swift; these are never called.
static inline int nub_sha256_available(void) { return 0; }
static inline void nub_sha256_compress(uint32_t *state, const uint8_t *blocks, size_t count) {
  (void)state, (void)blocks, (void)count;
}
static inline void nub_sha256_hash_pairs(uint8_t *digests, const uint8_t *messages, size_t count) {
  (void)digests, (void)messages, (void)count;
}

#endif

// The memory functions that compilers emit calls to. In C because a loop written in Swift or C would be compiled into a
// call of itself; string instructions are not recognised that way and are fast from a few hundred bytes on (ERMS).
#include <stddef.h>
#include <stdint.h>
#include <emmintrin.h>

void *memcpy(void *restrict target, const void *restrict source, size_t count) {
  uint8_t *t = target;
  const uint8_t *s = source;
  if (count >= 16) {
    if (count > 512) {
      void *d = target;
      __asm__ volatile("rep movsb" : "+D"(d), "+S"(source), "+c"(count) : : "memory");
      return target;
    }
    // Sixteen bytes at a time; the last step overlaps the one before, so nothing is left over.
    __m128i last = _mm_loadu_si128((const __m128i *)(s + count - 16));
    uint8_t *end = t + count - 16;
    for (size_t i = 0; i + 16 < count; i += 16) {
      _mm_storeu_si128((__m128i *)(t + i), _mm_loadu_si128((const __m128i *)(s + i)));
    }
    _mm_storeu_si128((__m128i *)end, last);
    return target;
  }
  while (count--) {
    *t++ = *s++;
    __asm__ volatile("" : "+r"(t));
  }
  return target;
}

void *memmove(void *target, const void *source, size_t count) {
  uint8_t *t = target;
  const uint8_t *s = source;
  if ((uintptr_t)t - (uintptr_t)s >= count) return memcpy(target, source, count);
  while (count >= 16) {
    count -= 16;
    _mm_storeu_si128((__m128i *)(t + count), _mm_loadu_si128((const __m128i *)(s + count)));
  }
  while (count--) {
    t[count] = s[count];
    __asm__ volatile("" : "+r"(count));
  }
  return target;
}

void *memset(void *target, int value, size_t count) {
  void *d = target;
  __asm__ volatile("rep stosb" : "+D"(d), "+c"(count) : "a"(value) : "memory");
  return target;
}

int memcmp(const void *left, const void *right, size_t count) {
  const uint8_t *l = left, *r = right;
  for (size_t i = 0; i < count; i++) {
    if (l[i] != r[i]) return l[i] < r[i] ? -1 : 1;
    __asm__ volatile("" : "+r"(i));
  }
  return 0;
}

size_t strlen(const char *text) {
  size_t n = 0;
  while (text[n]) {
    n++;
    __asm__ volatile("" : "+r"(n));
  }
  return n;
}

// Rounds towards positive infinity; what Dictionary needs to size itself (values far below 2^63).
double ceil(double value) {
  double whole = (double)(int64_t)value;
  return whole < value ? whole + 1.0 : whole;
}

// The allocation functions. Sizes are bounded by the allocator, which refuses what is larger than the heap.
void *nub_heap_allocate(size_t size, size_t alignment);
void *nub_heap_allocate_zeroed(size_t size, size_t alignment);
void nub_heap_release(void *pointer);
size_t nub_heap_usable(void *pointer);

void *malloc(size_t size) { return nub_heap_allocate(size, 16); }

void free(void *pointer) { nub_heap_release(pointer); }

int posix_memalign(void **result, size_t alignment, size_t size) {
  void *memory = nub_heap_allocate(size, alignment);
  if (!memory) return 12; // ENOMEM
  *result = memory;
  return 0;
}

void *calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  return nub_heap_allocate_zeroed(bytes, 16);
}

void *realloc(void *pointer, size_t size) {
  if (!pointer) return malloc(size);
  size_t usable = nub_heap_usable(pointer);
  if (size <= usable) return pointer;
  void *memory = malloc(size);
  if (!memory) return NULL;
  memcpy(memory, pointer, usable);
  free(pointer);
  return memory;
}

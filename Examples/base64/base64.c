// Base64 (RFC 4648, section 4), in C.
//
//     nub guest build Examples/base64 -o base64.elf
#include "nub_guest.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t encode(nub_call *call, const uint8_t *bytes, size_t length) {
  uint8_t *out = nub_reserve(call, (length + 2) / 3 * 4);
  if (!out) return NUB_STATUS_RESULT_TOO_LARGE;
  for (size_t i = 0; i < length; i += 3) {
    size_t left = length - i;
    uint32_t word = (uint32_t)bytes[i] << 16;
    if (left > 1) word |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2) word |= bytes[i + 2];
    *out++ = alphabet[word >> 18];
    *out++ = alphabet[word >> 12 & 63];
    *out++ = left > 1 ? alphabet[word >> 6 & 63] : '=';
    *out++ = left > 2 ? alphabet[word & 63] : '=';
  }
  return 0;
}

// 310: bytes → base64.
NUB_FUNCTION(310, base64_encode) { return encode(call, call->payload, call->payload_length); }

static int value(uint8_t character) {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26;
  if (character >= '0' && character <= '9') return character - '0' + 52;
  if (character == '+') return 62;
  if (character == '/') return 63;
  return -1;
}

static uint32_t refuse(nub_call *call, const char *message) {
  nub_log(call, NUB_LOG_WARNING, message, strlen(message));
  return nub_fail(call, 1, message, strlen(message));
}

// 311: base64 → bytes. Status 1 and a message for anything else, padding that is missing or not zero included.
NUB_FUNCTION(311, base64_decode) {
  const uint8_t *text = call->payload;
  size_t length = call->payload_length;
  if (length % 4) return refuse(call, "the length is not a multiple of four");
  size_t padding = length && text[length - 1] == '=' ? (text[length - 2] == '=' ? 2 : 1) : 0;
  uint8_t *out = nub_reserve(call, length / 4 * 3 - padding);
  if (!out) return NUB_STATUS_RESULT_TOO_LARGE;
  uint32_t word = 0;
  unsigned bits = 0;
  for (size_t i = 0; i < length - padding; i++) {
    int digit = value(text[i]);
    if (digit < 0) return refuse(call, "there is a character that is not of the alphabet");
    word = word << 6 | (uint32_t)digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      *out++ = (uint8_t)(word >> bits);
    }
  }
  if (word & ((1u << bits) - 1)) return refuse(call, "the bits behind the last byte are not zero");
  return 0;
}

// 312: hash of a Data cap → base64 of its bytes.
NUB_FUNCTION(312, cap_base64) {
  const uint8_t *bytes;
  size_t length;
  if (call->payload_length != 32) return nub_fail(call, NUB_STATUS_BAD_PAYLOAD, "not a hash", 10);
  uint32_t status = nub_cap_data(call, call->payload, &bytes, &length);
  return status ? status : encode(call, bytes, length);
}

// 313: bytes → base64 of what the host function 1001 (`transform`) makes of them.
NUB_FUNCTION(313, transformed_base64) {
  const uint8_t *bytes;
  size_t length;
  uint32_t status = nub_host_call(call, 1001, call->payload, call->payload_length, &bytes, &length);
  if (status) return nub_fail(call, 2, bytes, length);
  return encode(call, bytes, length);
}

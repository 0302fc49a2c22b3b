// Packed quantised weights by the vector: their scales, their values, and how codes are multiplied.

typedef _Float16 half_floats __attribute__((ext_vector_type(LANES)));
typedef int8_t small_ints __attribute__((ext_vector_type(LANES)));

// LANES scales or minima, `index` places behind `from`.
INLINE vec NAME(scales_at)(const uint8_t *from, bool are_halves, size_t index) {
  if (!are_halves) return load((const float *)from + index);
  half_floats halves;
  __builtin_memcpy(&halves, from + 2 * index, sizeof halves);
  return __builtin_convertvector(halves, vec);
}

INLINE ints NAME(codes_at)(const uint8_t *from) {
  ints codes;
  __builtin_memcpy(&codes, from, sizeof codes);
  return codes;
}

#ifndef DOT_NIBBLES
// The four bytes of each word by those of `x`: the first unsigned (and below 16), the second signed.
INLINE ints NAME(dot_nibbles)(ints sum, ints codes, int32_t x) {
  UNROLL for (int j = 0; j < 4; j++) sum += (codes >> 8 * j & 255) * (int32_t)(int8_t)(x >> 8 * j);
  return sum;
}
#define DOT_NIBBLES NAME(dot_nibbles)
#endif

#ifndef DOT_BYTES
// The same for codes of eight bits, from which BYTE_OFFSET is subtracted elsewhere, and the rest of their 128 here.
INLINE ints NAME(dot_bytes)(ints sum, ints codes, int32_t x) {
  UNROLL for (int j = 0; j < 4; j++) sum += ((codes >> 8 * j & 255) - 128) * (int32_t)(int8_t)(x >> 8 * j);
  return sum;
}
#define DOT_BYTES NAME(dot_bytes)
#define BYTE_OFFSET 0
#endif

// Values of one panel from k = `from` to `to`, multiples of 32, as [k - from][16].
INLINE void NAME(widen_blocks)(
    const void *weight, const meander_block_layout *layout, size_t inner, size_t panel, size_t from, size_t to,
    float *out) {
  const uint8_t *codes = packed_panel(weight, layout, inner, panel * MEANDER_BLOCK);
  const uint8_t *scales = codes + packed_scales(layout, inner), *minima = codes + packed_minima(layout, inner);
  for (size_t k = from; k < to; k++, out += MEANDER_BLOCK)
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) {
      const size_t place = k / layout->run * MEANDER_BLOCK + v * LANES;
      ints code;
      if (layout->fits_nibble) {
        code = NAME(codes_at)(codes + k / 8 * 64 + v * LANES * 4);
        code = (code >> (int32_t)(k % 4 * 8 + k / 4 % 2 * 4) & 15) - layout->offset;
      } else {
        code = NAME(codes_at)(codes + k / 4 * 64 + v * LANES * 4);
        code = (code >> (int32_t)(k % 4 * 8) & 255) - 128;
      }
      vec value = NAME(scales_at)(scales, layout->scales_are_halves, place) * __builtin_convertvector(code, vec);
      if (layout->has_minimum) value = value + NAME(scales_at)(minima, layout->scales_are_halves, place);
      store(out + v * LANES, value);
    }
}

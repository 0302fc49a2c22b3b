#include "tables.h"

static const meander_table *const tables[] = {
#if defined(__x86_64__)
    &meander_table_avx512bf16,
    &meander_table_avx512vnni,
    &meander_table_avx512,
    &meander_table_avx2,
    &meander_table_avx2_wide16,
    &meander_table_avx2_narrow4,
#elif defined(__aarch64__)
    &meander_table_neon_dot,
    &meander_table_neon,
#endif
    &meander_table_scalar,
};

const meander_table *meander_table_at(size_t index) {
  return index < sizeof tables / sizeof *tables ? tables[index] : NULL;
}

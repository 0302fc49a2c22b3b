#include "CMeanderCatalog.h"

// Weak: a program that links no model has no such section, and both ends are then null.
extern const meander_catalog_file __start_meander_models[] __attribute__((weak));
extern const meander_catalog_file __stop_meander_models[] __attribute__((weak));

size_t meander_catalog_count(void) {
  return (size_t)(__stop_meander_models - __start_meander_models);
}

const meander_catalog_file *meander_catalog_at(size_t index) {
  return index < meander_catalog_count() ? &__start_meander_models[index] : (const meander_catalog_file *)0;
}

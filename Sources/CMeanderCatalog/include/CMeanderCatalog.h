#ifndef C_MEANDER_CATALOG_H
#define C_MEANDER_CATALOG_H

#include <stddef.h>
#include <stdint.h>

/// One file of a shipped model, held as read-only data of the program that links it.
typedef struct {
  const char *_Nonnull model;
  const char *_Nonnull name;
  const uint8_t *_Nonnull bytes;
  size_t count;
} meander_catalog_file;

/// How many files of shipped models are linked into this program.
size_t meander_catalog_count(void);

/// File `index`, below `meander_catalog_count()`; null past the end.
const meander_catalog_file *_Nullable meander_catalog_at(size_t index);

/// Registers one file. Its record goes into a section of the program, and the linker strings the sections of all linked
/// models together: so a model is found by name when its target is linked, and costs nothing when it is not.
#define MEANDER_CATALOG_FILE(symbol, model_name, file_name)                                     \
  __attribute__((used, retain, section("meander_models"))) static const meander_catalog_file \
      symbol##_record = {model_name, file_name, symbol, sizeof(symbol)}

#endif

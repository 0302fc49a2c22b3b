#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t reader_configuration[] = {
#embed "config.json"
};

static const uint8_t reader_weights[] = {
#embed "model.safetensors"
};

static const uint8_t reader_tokenizer[] = {
#embed "tokenizer.json"
};

MEANDER_CATALOG_FILE(reader_configuration, "reader", "config.json");
MEANDER_CATALOG_FILE(reader_weights, "reader", "model.safetensors");
MEANDER_CATALOG_FILE(reader_tokenizer, "reader", "tokenizer.json");

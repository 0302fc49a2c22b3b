#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t needles_configuration[] = {
#embed "config.json"
};

static const uint8_t needles_weights[] = {
#embed "model.safetensors"
};

static const uint8_t needles_tokenizer[] = {
#embed "tokenizer.json"
};

MEANDER_CATALOG_FILE(needles_configuration, "needles", "config.json");
MEANDER_CATALOG_FILE(needles_weights, "needles", "model.safetensors");
MEANDER_CATALOG_FILE(needles_tokenizer, "needles", "tokenizer.json");

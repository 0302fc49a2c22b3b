#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t hyena_configuration[] = {
#embed "config.json"
};

static const uint8_t hyena_weights[] = {
#embed "model.safetensors"
};

static const uint8_t hyena_tokenizer[] = {
#embed "tokenizer.json"
};

MEANDER_CATALOG_FILE(hyena_configuration, "hyena", "config.json");
MEANDER_CATALOG_FILE(hyena_weights, "hyena", "model.safetensors");
MEANDER_CATALOG_FILE(hyena_tokenizer, "hyena", "tokenizer.json");

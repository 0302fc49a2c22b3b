#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t striped_configuration[] = {
#embed "config.json"
};

static const uint8_t striped_weights[] = {
#embed "model.safetensors"
};

static const uint8_t striped_tokenizer[] = {
#embed "tokenizer.json"
};

MEANDER_CATALOG_FILE(striped_configuration, "striped", "config.json");
MEANDER_CATALOG_FILE(striped_weights, "striped", "model.safetensors");
MEANDER_CATALOG_FILE(striped_tokenizer, "striped", "tokenizer.json");

#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t attention_configuration[] = {
#embed "config.json"
};

static const uint8_t attention_weights[] = {
#embed "model.safetensors"
};

static const uint8_t attention_tokenizer[] = {
#embed "tokenizer.json"
};

MEANDER_CATALOG_FILE(attention_configuration, "attention", "config.json");
MEANDER_CATALOG_FILE(attention_weights, "attention", "model.safetensors");
MEANDER_CATALOG_FILE(attention_tokenizer, "attention", "tokenizer.json");

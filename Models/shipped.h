// A shipped model's files as read-only data. Whoever includes this defines MODEL, the model's name, and MODEL_CONFIGURATION,
// MODEL_WEIGHTS and, where it has one, MODEL_TOKENIZER: the files' paths from this folder.

#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t configuration[] = {
#embed MODEL_CONFIGURATION
};
MEANDER_CATALOG_FILE(configuration, MODEL, "config.json");

static const uint8_t weights[] = {
#embed MODEL_WEIGHTS
};
MEANDER_CATALOG_FILE(weights, MODEL, "model.safetensors");

#ifdef MODEL_TOKENIZER
static const uint8_t tokenizer[] = {
#embed MODEL_TOKENIZER
};
MEANDER_CATALOG_FILE(tokenizer, MODEL, "tokenizer.json");
#endif

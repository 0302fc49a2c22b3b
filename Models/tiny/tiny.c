#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t tiny_configuration[] = {
#embed "config.json"
};

static const uint8_t tiny_weights[] = {
#embed "model.safetensors"
};

MEANDER_CATALOG_FILE(tiny_configuration, "tiny", "config.json");
MEANDER_CATALOG_FILE(tiny_weights, "tiny", "model.safetensors");

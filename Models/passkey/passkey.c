#include "CMeanderCatalog.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t passkey_configuration[] = {
#embed "config.json"
};

static const uint8_t passkey_weights[] = {
#embed "model.safetensors"
};

MEANDER_CATALOG_FILE(passkey_configuration, "passkey", "config.json");
MEANDER_CATALOG_FILE(passkey_weights, "passkey", "model.safetensors");

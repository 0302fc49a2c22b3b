#define MODEL "passkey"
#define MODEL_CONFIGURATION "passkey/config.json"
#define MODEL_WEIGHTS "passkey/model.safetensors"
#include "../shipped.h"

#define MODEL "tiny"
#define MODEL_CONFIGURATION "tiny/config.json"
#define MODEL_WEIGHTS "tiny/model.safetensors"
#include "../shipped.h"

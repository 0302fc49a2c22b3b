#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__aarch64__)

#define LANES 4
#define TABLE neon
#define TABLE_NAME "neon"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED true
#include "lanes/table.h"

#endif

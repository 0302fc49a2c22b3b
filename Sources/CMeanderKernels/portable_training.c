
#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

// What the scalar table trains with: the template at a width that every compiler knows how to take apart.
#define LANES 4
#define TABLE portable
#include "lanes/vector.h"

#include "lanes/training.h"


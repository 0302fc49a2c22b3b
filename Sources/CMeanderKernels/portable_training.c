
#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

// What the scalar table attends and trains with: the template at a width that every compiler knows how to take apart.
#define LANES 4
#define TABLE portable
#include "lanes/vector.h"

#include "lanes/attention.h"
#include "lanes/rotation.h"
#include "lanes/training.h"

void meander_portable_attention(const meander_attention *job, size_t first_unit, size_t end_unit, float *scratch) {
  attention_portable(job, first_unit, end_unit, scratch);
}
void meander_portable_angles(const meander_angles *job) { angles_portable(job); }
void meander_portable_rotate(const meander_rotation *job, size_t first_row, size_t end_row) {
  rotate_portable(job, first_row, end_row);
}


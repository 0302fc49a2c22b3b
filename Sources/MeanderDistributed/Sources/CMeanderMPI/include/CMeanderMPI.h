#ifndef C_MEANDER_MPI_H
#define C_MEANDER_MPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// The few calls of MPI that a distributed training needs, over all processes that mpirun started. Calls are made by one thread at
// a time. Each returns how it went.

typedef enum {
  /// It is done.
  MEANDER_MPI_DONE,
  /// MPI refused; `meander_mpi_message` says why.
  MEANDER_MPI_FAILED,
  /// A stop was asked for and the other processes did not answer within a moment: one of them has ended.
  MEANDER_MPI_LOST,
} meander_mpi_outcome;

/// Joins the other processes. SIGINT and SIGTERM are counted from then on and end nothing by themselves.
meander_mpi_outcome meander_mpi_start(void);
/// Leaves, when all others do.
void meander_mpi_finish(void);

int meander_mpi_rank(void);
int meander_mpi_ranks(void);
/// How many stops were asked for by signals.
int meander_mpi_stops(void);
/// What the last failure was.
const char *meander_mpi_message(void);

/// Begins the sum of `count` floats over all ranks (MPI_Iallreduce), from a copy of them, and returns at once.
meander_mpi_outcome meander_mpi_begin(int group, const float *values, size_t count);
/// Waits for the sum that was begun for `group` and writes it to `values`, `count` of them.
meander_mpi_outcome meander_mpi_wait(int group, float *values, size_t count);
/// Replaces `count` doubles by their sums over all ranks.
meander_mpi_outcome meander_mpi_sum(double *values, size_t count);
/// Every rank's number, by rank.
meander_mpi_outcome meander_mpi_counts(int64_t own, int64_t *all);
/// On rank 0, `all` takes the bytes of every rank, one rank's after the other's, as many as `counts` says.
meander_mpi_outcome meander_mpi_gather(const uint8_t *bytes, const int64_t *counts, uint8_t *all);

#pragma clang assume_nonnull end

#endif

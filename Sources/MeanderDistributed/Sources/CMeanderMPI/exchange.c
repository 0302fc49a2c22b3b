#include <mpi.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CMeanderMPI.h"

// How long the others may take to answer once a stop was asked for: mpirun ends what is left of a run a second after it asked.
#define PATIENCE 0.4
// Bytes that one call of MPI moves at most: its counts are ints.
#define LARGEST ((size_t)1 << 30)
#define GROUPS 4096

static atomic_int stops;
static int rank, ranks;
static char message[MPI_MAX_ERROR_STRING + 64];
static struct {
  float *values;
  size_t count;
  MPI_Request request;
} groups[GROUPS];

static void count_stop(int signal) {
  (void)signal;
  atomic_fetch_add(&stops, 1);
}

static meander_mpi_outcome failed(const char *what, int code) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (code != MPI_SUCCESS) MPI_Error_string(code, text, &length);
  snprintf(message, sizeof message, "%s%s%s", what, length ? ": " : "", text);
  return MEANDER_MPI_FAILED;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// Waits for a request, at first without giving up the core.
static meander_mpi_outcome settle(MPI_Request *request) {
  double asked = 0;
  for (long tries = 0;; tries++) {
    int done = 0;
    const int code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) return failed("the exchange failed", code);
    if (done) return MEANDER_MPI_DONE;
    if (tries < 2000) continue;
    if (atomic_load(&stops) > 0) {
      if (asked == 0) asked = now();
      if (now() - asked > PATIENCE) return MEANDER_MPI_LOST;
    }
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
  }
}

meander_mpi_outcome meander_mpi_start(void) {
  int provided = 0, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
  if (code != MPI_SUCCESS) return failed("MPI cannot be started", code);
  if (provided < MPI_THREAD_SERIALIZED) return failed("this MPI cannot be called from more than one thread", MPI_SUCCESS);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  for (int group = 0; group < GROUPS; group++) groups[group].request = MPI_REQUEST_NULL;
  struct sigaction action = {.sa_handler = count_stop, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  return MEANDER_MPI_DONE;
}

void meander_mpi_finish(void) { MPI_Finalize(); }

int meander_mpi_rank(void) { return rank; }
int meander_mpi_ranks(void) { return ranks; }
int meander_mpi_stops(void) { return atomic_load(&stops); }
const char *meander_mpi_message(void) { return message; }

meander_mpi_outcome meander_mpi_begin(int group, const float *values, size_t count) {
  if (group < 0 || group >= GROUPS) return failed("more layers than can be told apart", MPI_SUCCESS);
  if (count * sizeof *values > LARGEST) return failed("a layer of more than 1 GiB", MPI_SUCCESS);
  if (groups[group].request != MPI_REQUEST_NULL) return failed("a layer was begun twice", MPI_SUCCESS);
  float *copy = realloc(groups[group].values, count * sizeof *values);
  if (!copy) return failed("there is no memory for a layer's gradients", MPI_SUCCESS);
  memcpy(copy, values, count * sizeof *values);
  groups[group].values = copy;
  groups[group].count = count;
  const int code = MPI_Iallreduce(MPI_IN_PLACE, copy, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &groups[group].request);
  return code == MPI_SUCCESS ? MEANDER_MPI_DONE : failed("a layer's sum cannot be begun", code);
}

meander_mpi_outcome meander_mpi_wait(int group, float *values, size_t count) {
  if (group < 0 || group >= GROUPS || groups[group].count != count) return failed("a layer that was not begun", MPI_SUCCESS);
  const meander_mpi_outcome outcome = settle(&groups[group].request);
  if (outcome == MEANDER_MPI_DONE) memcpy(values, groups[group].values, count * sizeof *values);
  return outcome;
}

meander_mpi_outcome meander_mpi_sum(double *values, size_t count) {
  MPI_Request request;
  const int code = MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? settle(&request) : failed("a sum cannot be begun", code);
}

meander_mpi_outcome meander_mpi_counts(int64_t own, int64_t *all) {
  MPI_Request request;
  const int code = MPI_Iallgather(&own, 1, MPI_INT64_T, all, 1, MPI_INT64_T, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? settle(&request) : failed("the sizes cannot be exchanged", code);
}

meander_mpi_outcome meander_mpi_gather(const uint8_t *bytes, const int64_t *counts, uint8_t *all) {
  int *sizes = calloc((size_t)ranks * 2, sizeof *sizes), *places = sizes + ranks;
  if (!sizes) return failed("there is no memory for a checkpoint", MPI_SUCCESS);
  int64_t sum = 0;
  for (int other = 0; other < ranks; other++) {
    places[other] = (int)sum;
    sizes[other] = (int)counts[other];
    sum += counts[other];
  }
  meander_mpi_outcome outcome;
  if ((size_t)sum > LARGEST) {
    outcome = failed("carried states of more than 1 GiB", MPI_SUCCESS);
  } else {
    MPI_Request request;
    const int code = MPI_Igatherv(
        bytes, sizes[rank], MPI_BYTE, all, sizes, places, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
    outcome = code == MPI_SUCCESS ? settle(&request) : failed("the states cannot be gathered", code);
  }
  free(sizes);
  return outcome;
}

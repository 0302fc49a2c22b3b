#define _DEFAULT_SOURCE
#include "CMachine.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { most_threads = 256, chains = 12, turns = 4096 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Twelve independent chains hide the latency of two multiply-add units; the factor keeps the numbers bounded, and the
// returned sum keeps the work.
#define PEAK(NAME, LANES, STEP, ATTRIBUTE)                                                                             \
  typedef float NAME##_vector __attribute__((vector_size(4 * LANES)));                                                 \
  ATTRIBUTE static float NAME(void) {                                                                                  \
    NAME##_vector sums[chains], factor, term;                                                                          \
    for (int l = 0; l < LANES; l++) factor[l] = 0.999f, term[l] = 1e-3f;                                               \
    for (int i = 0; i < chains; i++) sums[i] = term * (float)i;                                                        \
    for (int t = 0; t < turns; t++) {                                                                                  \
      _Pragma("unroll") for (int i = 0; i < chains; i++) sums[i] = STEP(sums[i], factor, term);                       \
      __asm__ volatile("" ::: "memory");                                                                               \
    }                                                                                                                  \
    for (int i = 1; i < chains; i++) sums[0] += sums[i];                                                               \
    return sums[0][0];                                                                                                 \
  }

#define FUSED(a, b, c) __builtin_elementwise_fma(a, b, c)
#define SEPARATE(a, b, c) ((a) * (b) + (c))

typedef struct {
  float (*kernel)(void);
  int lanes;
} peak_kernel;

#if defined(__x86_64__)
PEAK(peak_4, 4, SEPARATE, )
PEAK(peak_8, 8, FUSED, __attribute__((target("avx2,fma"))))
PEAK(peak_16, 16, FUSED, __attribute__((target("avx512f"))))

static peak_kernel widest(void) {
  if (__builtin_cpu_supports("avx512f")) return (peak_kernel){peak_16, 16};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (peak_kernel){peak_8, 8};
  return (peak_kernel){peak_4, 4};
}
#else
PEAK(peak_4, 4, FUSED, )

static peak_kernel widest(void) { return (peak_kernel){peak_4, 4}; }
#endif

typedef struct {
  pthread_barrier_t *barrier;
  const uint64_t *memory;
  size_t words;
  int rounds;
  double begin, end, best;
  double sink;
} job;

static void *peak_worker(void *argument) {
  job *j = argument;
  peak_kernel kernel = widest();
  for (int r = 0; r < j->rounds; r++) {
    pthread_barrier_wait(j->barrier);
    double start = now(), stop;
    long calls = 0;
    do {
      for (int i = 0; i < 16; i++) j->sink += kernel.kernel();
      calls += 16;
      stop = now();
    } while (stop - start < 0.1);
    double rate = (double)calls * turns * chains * kernel.lanes * 2 / (stop - start);
    if (rate > j->best) j->best = rate;
  }
  return NULL;
}

static void *read_worker(void *argument) {
  job *j = argument;
  for (int r = 0; r < j->rounds; r++) {
    pthread_barrier_wait(j->barrier);
    double start = now();
    // Four places at once: one alone does not keep every prefetcher busy.
    uint64_t sums[16] = {0};
    size_t quarter = j->words / 4 & ~(size_t)7;
    for (size_t i = 0; i < quarter; i += 8)
      for (int q = 0; q < 4; q++)
        for (int k = 0; k < 8; k++) sums[q * 4 + k % 4] += j->memory[q * quarter + i + k];
    double rate = (double)quarter * 4 * 8 / (now() - start);
    for (int k = 0; k < 16; k++) j->sink += (double)sums[k];
    if (rate > j->best) j->best = rate;
  }
  return NULL;
}

static double together(int threads, job *jobs, void *(*worker)(void *)) {
  pthread_t handles[most_threads];
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  double total = 0;
  for (int i = 0; i < threads; i++) jobs[i].barrier = &barrier;
  for (int i = 1; i < threads; i++) pthread_create(&handles[i], NULL, worker, &jobs[i]);
  worker(&jobs[0]);
  for (int i = 1; i < threads; i++) pthread_join(handles[i], NULL);
  for (int i = 0; i < threads; i++) total += jobs[i].best;
  pthread_barrier_destroy(&barrier);
  return total;
}

double machine_peak(int threads, int rounds) {
  if (threads < 1 || threads > most_threads) return 0;
  job jobs[most_threads];
  memset(jobs, 0, sizeof jobs);
  for (int i = 0; i < threads; i++) jobs[i].rounds = rounds;
  return together(threads, jobs, peak_worker);
}

double machine_read(int threads, size_t bytes, int rounds) {
  if (threads < 1 || threads > most_threads) return 0;
  job jobs[most_threads];
  memset(jobs, 0, sizeof jobs);
  const size_t size = bytes & ~(((size_t)1 << 21) - 1);
  double result = 0;
  int made = 0;
  for (; made < threads; made++) {
    void *memory = aligned_alloc(1 << 21, size);
    if (!memory) break;
    madvise(memory, size, MADV_HUGEPAGE);
    memset(memory, 1, size);
    jobs[made] = (job){.memory = memory, .words = size / 8, .rounds = rounds};
  }
  if (made == threads) result = together(threads, jobs, read_worker);
  for (int i = 0; i < made; i++) free((void *)jobs[i].memory);
  return result;
}

void machine_direct_convolution(
    const float *signal, const float *filter, size_t length, size_t channels, size_t row, float *y) {
  for (size_t c = 0; c < channels; c++) y[c] = 0;
  for (size_t s = 0; s < length && s <= row; s++) {
    const float *h = filter + s * channels, *x = signal + (row - s) * channels;
    for (size_t c = 0; c < channels; c++) y[c] += h[c] * x[c];
  }
}

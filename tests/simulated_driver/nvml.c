/*
 * A simulated NVIDIA driver library: the part of NVML's interface that nvidia-ml-py and vidmeter
 * call, answered from a script of true power (README.md describes the format) instead of a card.
 *
 * All processes that load it see the same cards: what it answers depends on the script and on
 * CLOCK_MONOTONIC alone. Structures, constants and return codes are NVML's ABI (nvml.h).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "steps.h"

#define API __attribute__((visibility("default")))

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
    UNKNOWN = 999,
};
enum { VALUE_UNSIGNED_INT = 1, VALUE_UNSIGNED_LONG_LONG = 3 };
enum { FIELD_TOTAL_ENERGY = 83, FIELD_AVERAGE = 185, FIELD_INSTANT = 186, FIELD_ENERGY = 191 };
enum { SPAN_REASONS_MS = 100, SPAN_USE_MS = 200, USES_HELD = 72 };
enum { COMPUTE, GRAPHICS, MPS };
enum { TOTAL_POWER_SAMPLES = 0, MODULE_POWER_SAMPLES = 7 };
enum { SCOPE_GPU, SCOPE_MODULE, SCOPE_MEMORY };
enum { INSTANT, AVERAGE, USAGE, MODULE, MEMORY, RING, MODULE_RING, READINGS };
enum { STAMP_REFRESH, STAMP_ZERO, STAMP_QUERY };
enum { MAX_GPUS = 16, MAX_POINTS = 4096, MAX_ANSWERS = 64, MAX_MIG = 7, TEXT = 96 };
enum { MAX_PROCESSES = 64, MAX_SPANS = 256 };

struct gpu;

struct device { /* what a handle points to: a card, or an instance of one */
    struct gpu *gpu;
    char uuid[TEXT];
    int mig;
};

struct reading {
    int64_t refresh_ns; /* 0: not offered */
    int64_t window_ns, delay_ns;
    double lag_s, factor;
    double *lagged; /* with a lag: what the reading shows at each point of the curve */
    int depth;      /* of a ring */
};

struct process {
    unsigned pid, use_pct;
    int kind;
    unsigned long long memory_b;
    double from_s, to_s;
};

struct span {
    double from_s, to_s;
    unsigned long long reasons;
};

struct answers { /* a number for each of some functions: the code to answer, or a delay in us */
    struct {
        char name[TEXT];
        int number;
    } of[MAX_ANSWERS];
    int count;
};

struct gpu {
    struct device card;
    struct device instances[MAX_MIG];
    int mig_count, mig_enabled, index;
    char name[TEXT], pci[32], vbios[TEXT];
    int64_t epoch_ns;
    double at_s[MAX_POINTS], watts[MAX_POINTS], joules[MAX_POINTS];
    int points, repeat;
    struct reading readings[READINGS];
    int stamps;
    int64_t tick_ns; /* 0: no energy counter */
    double counter_start_j, broken_w, reset_s, scale, jump_s, jump_j;
    double reload_s; /* when the driver was loaded anew */
    double lost_s, back_s, zero_from_s, zero_to_s;
    long delay_us, jitter_us;
    unsigned long long seed, calls;
    struct answers answers, delays;
    struct process processes[MAX_PROCESSES];
    struct span spans[MAX_SPANS];
    int process_count, span_count, reason_counters;
    unsigned temperature, sm_clock, memory_clock, max_sm_clock, max_memory_clock;
    unsigned utilization, memory_utilization, cores, architecture, persistence;
    unsigned limit_mw, default_limit_mw;
    int capability_major, capability_minor, virtualization, ecc; /* ecc -1: not offered */
    unsigned long long memory_total, memory_used, clock_reasons;
};

static struct gpu gpus[MAX_GPUS];
static int gpu_count, init_code, users, cuda_version;
static char driver_version[TEXT], nvml_version[TEXT];
static int64_t real_offset_ns; /* wall clock minus CLOCK_MONOTONIC */
static struct answers driver_answers;
static int64_t opened_ns;
static double dead_from_s, dead_to_s; /* since the driver's epoch */
static int dead_code, reload;

/* ---- time and true power ---- */

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t floor_to(int64_t t, int64_t grid)
{
    int64_t rest = t % grid;
    return t - (rest < 0 ? rest + grid : rest);
}

static int64_t age_ns(const struct gpu *g)
{
    return monotonic_ns() - g->epoch_ns;
}

static long long stamp_us(const struct gpu *g, int64_t age)
{
    int64_t t_ns = g->epoch_ns + age;
    return (t_ns + real_offset_ns + ahead_ns(t_ns, 0)) / 1000;
}

/* The curve's last point at or before `t`, which lies within its ends. */
static int piece(const struct gpu *g, double t)
{
    int low = 0, high = g->points - 1;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (g->at_s[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* How often a repeated curve has run through by `t`, which becomes the time within it. */
static double turns(const struct gpu *g, double *t)
{
    double begin = g->at_s[0], span = g->at_s[g->points - 1] - begin, n;
    if (!g->repeat || span <= 0)
        return 0;
    n = floor((*t - begin) / span);
    *t -= n * span;
    return n;
}

/* True energy between the curve's first point and `t` seconds after the epoch, J. */
static double energy_j(const struct gpu *g, double t)
{
    int last = g->points - 1, i;
    double before = turns(g, &t) * g->joules[last], share, x;

    if (t <= g->at_s[0])
        return before + g->watts[0] * (t - g->at_s[0]);
    if (t >= g->at_s[last])
        return before + g->joules[last] + g->watts[last] * (t - g->at_s[last]);
    i = piece(g, t);
    x = t - g->at_s[i];
    share = x / (g->at_s[i + 1] - g->at_s[i]);
    return before + g->joules[i] + x * (g->watts[i] + share / 2 * (g->watts[i + 1] - g->watts[i]));
}

/*
 * A first-order lag behind a straight piece: what it shows after `x` seconds of a power that starts
 * at `w` and rises by `slope` per second, if it showed `y` at first. The solution of
 * lag * y' = power - y.
 */
static double lag_after(double lag_s, double y, double w, double slope, double x)
{
    return w + slope * (x - lag_s) + (y - w + slope * lag_s) * exp(-x / lag_s);
}

/* The lagged power at each point, from `y` at the first; returns that at the last. */
static double lag_along(const struct gpu *g, const struct reading *reading, double y)
{
    reading->lagged[0] = y;
    for (int i = 1; i < g->points; i++) {
        double x = g->at_s[i] - g->at_s[i - 1];
        if (x > 0)
            y = lag_after(reading->lag_s, y, g->watts[i - 1],
                          (g->watts[i] - g->watts[i - 1]) / x, x);
        reading->lagged[i] = y;
    }
    return y;
}

/* Before the first point its power was held, or the curve was repeated, for ever. */
static int settle_reading(const struct gpu *g, struct reading *reading)
{
    double span = g->at_s[g->points - 1] - g->at_s[0];

    if (reading->lag_s <= 0)
        return 1;
    reading->lagged = calloc((size_t)g->points, sizeof *reading->lagged);
    if (!reading->lagged)
        return 0;
    if (g->repeat && span > 0) {
        double from_zero = lag_along(g, reading, 0);
        lag_along(g, reading, from_zero / -expm1(-span / reading->lag_s));
    } else
        lag_along(g, reading, g->watts[0]);
    return 1;
}

static int settle(void)
{
    for (int i = 0; i < gpu_count; i++)
        for (int kind = 0; kind < READINGS; kind++)
            if (!settle_reading(&gpus[i], &gpus[i].readings[kind]))
                return 0;
    return 1;
}

static double lagged_w(const struct gpu *g, const struct reading *reading, double t)
{
    int last = g->points - 1, i;

    turns(g, &t);
    if (t <= g->at_s[0])
        return reading->lagged[0];
    i = t >= g->at_s[last] ? last : piece(g, t);
    return lag_after(reading->lag_s, reading->lagged[i], g->watts[i],
                     i == last ? 0
                               : (g->watts[i + 1] - g->watts[i]) / (g->at_s[i + 1] - g->at_s[i]),
                     t - g->at_s[i]);
}

/* What a reading that was refreshed at `at_ns` shows at `age_ns`. */
static unsigned shown_mw(const struct gpu *g, const struct reading *reading, int64_t at_ns,
                         int64_t age_ns)
{
    int64_t end_ns = at_ns - reading->delay_ns;
    double now_s = age_ns / 1e9, watts;

    if (now_s >= g->zero_from_s && now_s < g->zero_to_s)
        return 0;
    if (reading->lagged)
        watts = lagged_w(g, reading, end_ns / 1e9);
    else
        watts = (energy_j(g, end_ns / 1e9) - energy_j(g, (end_ns - reading->window_ns) / 1e9)) /
                (reading->window_ns / 1e9);
    return (unsigned)llround(watts * reading->factor * 1000);
}

/* A power reading as last refreshed at `age`; `at` is the refresh's instant. */
static unsigned reading_mw(const struct gpu *g, int kind, int64_t age, int64_t *at)
{
    *at = floor_to(age, g->readings[kind].refresh_ns);
    return shown_mw(g, &g->readings[kind], *at, age);
}

/* When the card's counters last fell to 0 by `now_s`; -INFINITY if never. */
static double fallen_s(const struct gpu *g, double now_s)
{
    double reset = now_s >= g->reset_s ? g->reset_s : -INFINITY;
    double reloaded = now_s >= g->reload_s ? g->reload_s : -INFINITY;
    return reset > reloaded ? reset : reloaded;
}

static unsigned long long counter_mj(const struct gpu *g, int64_t age, int64_t *at)
{
    double tick_s, fallen = fallen_s(g, age / 1e9);
    int fell = fallen > -INFINITY;
    double from_s = fell ? fallen : 0, joules = fell ? 0 : g->counter_start_j;

    *at = floor_to(age, g->tick_ns);
    tick_s = *at / 1e9;
    if (!fell || tick_s > from_s)
        joules += isnan(g->broken_w) ? g->scale * (energy_j(g, tick_s) - energy_j(g, from_s))
                                     : g->broken_w * (tick_s - from_s);
    if (tick_s >= g->jump_s && g->jump_s >= fallen)
        joules += g->jump_j;
    return joules > 0 ? (unsigned long long)llround(joules * 1000) : 0;
}

/* The clock event reasons at `t`; `until` is when they may next be others. */
static unsigned long long reasons_at(const struct gpu *g, double t, double *until)
{
    unsigned long long reasons = 0;
    int within = 0;

    *until = INFINITY;
    for (int i = 0; i < g->span_count; i++) {
        const struct span *span = &g->spans[i];
        double edge = t < span->from_s ? span->from_s : t < span->to_s ? span->to_s : INFINITY;
        if (edge < *until)
            *until = edge;
        if (t >= span->from_s && t < span->to_s) {
            reasons |= span->reasons;
            within = 1;
        }
    }
    return within ? reasons : g->clock_reasons;
}

/* How long a reason had been in force by the last step of its counter, since the last reset. */
static unsigned long long reason_ns(const struct gpu *g, unsigned long long reason, int64_t age,
                                    int64_t *at)
{
    double t = fallen_s(g, age / 1e9), sum_s = 0, end_s, until;

    *at = floor_to(age, SPAN_REASONS_MS * INT64_C(1000000));
    end_s = *at / 1e9;
    for (t = t > -INFINITY ? t : 0; t < end_s; t = until) {
        int holds = (reasons_at(g, t, &until) & reason) != 0;
        if (holds)
            sum_s += (until < end_s ? until : end_s) - t;
    }
    return (unsigned long long)llround(sum_s * 1e9);
}

/* ---- the script ---- */

static const char *const reading_names[READINGS] = {
    "instant", "average", "usage", "module", "memory", "ring", "module_ring",
};

static int at_reading(int kind, const char *rest, struct reading *reading)
{
    double refresh_ms = 0, window_ms = 0, delay_ms = 0, lag_ms = 0, factor = 1;
    int depth = 1, n, used = 0;

    if (sscanf(rest, "%lf %lf%n", &refresh_ms, &window_ms, &used) != 2)
        return 0;
    rest += used;
    if (kind == RING || kind == MODULE_RING) {
        if (sscanf(rest, "%d%n", &depth, &used) != 1)
            return 0;
        rest += used;
    }
    n = sscanf(rest, "%lf %lf %lf", &delay_ms, &lag_ms, &factor);
    reading->refresh_ns = llround(refresh_ms * 1e6);
    reading->window_ns = llround(window_ms * 1e6);
    reading->delay_ns = llround(delay_ms * 1e6);
    reading->lag_s = lag_ms / 1e3;
    reading->factor = factor;
    reading->depth = depth;
    return n != 0 && refresh_ms > 0 && window_ms > 0 && delay_ms >= 0 && lag_ms >= 0 && depth >= 1;
}

static int at_answer(const char *rest, struct answers *answers)
{
    int i = answers->count;

    if (i == MAX_ANSWERS)
        return 0;
    answers->count++;
    return sscanf(rest, "%95s %d", answers->of[i].name, &answers->of[i].number) == 2;
}

static int at_process(const char *rest, struct gpu *g)
{
    static const char *const kinds[] = {"compute", "graphics", "mps"};
    struct process *process = &g->processes[g->process_count];
    char kind[TEXT];
    long long memory_b;

    if (g->process_count == MAX_PROCESSES ||
        sscanf(rest, "%u %lld %u %lf %lf %95s", &process->pid, &memory_b, &process->use_pct,
               &process->from_s, &process->to_s, kind) != 6)
        return 0;
    process->memory_b = (unsigned long long)memory_b; /* -1: not available */
    g->process_count++;
    for (process->kind = 0; process->kind <= MPS; process->kind++)
        if (!strcmp(kind, kinds[process->kind]))
            return 1;
    return 0;
}

static int at_span(const char *rest, struct gpu *g)
{
    struct span *span = &g->spans[g->span_count];

    if (g->span_count == MAX_SPANS)
        return 0;
    g->span_count++;
    return sscanf(rest, "%lf %lf %llu", &span->from_s, &span->to_s, &span->reasons) == 3;
}

static int at_gpu(const char *key, const char *rest, struct gpu *g)
{
    char word[TEXT];
    double a = 0, b = 0;
    int n = sscanf(rest, "%lf %lf", &a, &b);

    for (int kind = 0; kind < READINGS; kind++)
        if (!strcmp(key, reading_names[kind]))
            return at_reading(kind, rest, &g->readings[kind]);
    if (!strcmp(key, "uuid"))
        return sscanf(rest, "%95s", g->card.uuid) == 1;
    if (!strcmp(key, "name"))
        return sscanf(rest, "%95[^\n]", g->name) == 1;
    if (!strcmp(key, "pci"))
        return sscanf(rest, "%31s", g->pci) == 1;
    if (!strcmp(key, "vbios"))
        return sscanf(rest, "%95s", g->vbios) == 1;
    if (!strcmp(key, "epoch_ns"))
        return sscanf(rest, "%" SCNd64, &g->epoch_ns) == 1;
    if (!strcmp(key, "repeat"))
        return g->repeat = 1;
    if (!strcmp(key, "point")) {
        int i = g->points;
        if (n != 2 || i == MAX_POINTS || (i && a < g->at_s[i - 1]))
            return 0;
        g->at_s[i] = a;
        g->watts[i] = b;
        if (i)
            g->joules[i] = g->joules[i - 1] + (g->watts[i - 1] + b) / 2 * (a - g->at_s[i - 1]);
        g->points++;
        return 1;
    }
    if (!strcmp(key, "stamps")) {
        if (sscanf(rest, "%95s", word) != 1)
            return 0;
        g->stamps = !strcmp(word, "zero")    ? STAMP_ZERO
                    : !strcmp(word, "query") ? STAMP_QUERY
                                             : STAMP_REFRESH;
        return g->stamps != STAMP_REFRESH || !strcmp(word, "refresh");
    }
    if (!strcmp(key, "counter")) {
        g->tick_ns = llround(a * 1e6);
        g->counter_start_j = b;
        return n == 2 && a > 0;
    }
    if (!strcmp(key, "counter_broken_w"))
        return g->broken_w = a, n == 1;
    if (!strcmp(key, "counter_reset_s"))
        return g->reset_s = a, n == 1;
    if (!strcmp(key, "counter_scale"))
        return g->scale = a, n == 1;
    if (!strcmp(key, "counter_jump")) {
        g->jump_s = a;
        g->jump_j = b;
        return n == 2;
    }
    if (!strcmp(key, "lost_s")) {
        g->lost_s = a;
        g->back_s = n == 2 ? b : INFINITY;
        return n >= 1;
    }
    if (!strcmp(key, "zero_s")) {
        g->zero_from_s = a;
        g->zero_to_s = b;
        return n == 2;
    }
    if (!strcmp(key, "delay_us"))
        return g->delay_us = (long)a, n == 1;
    if (!strcmp(key, "jitter_us"))
        return sscanf(rest, "%ld %llu", &g->jitter_us, &g->seed) == 2;
    if (!strcmp(key, "delay"))
        return at_answer(rest, &g->delays);
    if (!strcmp(key, "answer"))
        return at_answer(rest, &g->answers);
    if (!strcmp(key, "mig_instance")) {
        struct device *part = &g->instances[g->mig_count];
        if (g->mig_count == MAX_MIG)
            return 0;
        g->mig_count++;
        g->mig_enabled = part->mig = 1;
        part->gpu = g;
        return sscanf(rest, "%95s", part->uuid) == 1;
    }
    if (!strcmp(key, "mig_enabled"))
        return g->mig_enabled = 1;
    if (!strcmp(key, "temperature_c"))
        return g->temperature = (unsigned)a, n == 1;
    if (!strcmp(key, "clocks_mhz")) {
        g->sm_clock = (unsigned)a;
        g->memory_clock = (unsigned)b;
        return n == 2;
    }
    if (!strcmp(key, "max_clocks_mhz")) {
        g->max_sm_clock = (unsigned)a;
        g->max_memory_clock = (unsigned)b;
        return n == 2;
    }
    if (!strcmp(key, "utilization_pct")) {
        g->utilization = (unsigned)a;
        g->memory_utilization = (unsigned)b;
        return n == 2;
    }
    if (!strcmp(key, "memory_b"))
        return sscanf(rest, "%llu %llu", &g->memory_total, &g->memory_used) == 2;
    if (!strcmp(key, "power_limit_w")) {
        g->limit_mw = (unsigned)llround(a * 1000);
        g->default_limit_mw = (unsigned)llround(b * 1000);
        return n == 2;
    }
    if (!strcmp(key, "clock_reasons"))
        return sscanf(rest, "%llu", &g->clock_reasons) == 1;
    if (!strcmp(key, "reasons"))
        return at_span(rest, g);
    if (!strcmp(key, "reason_counters"))
        return g->reason_counters = 1;
    if (!strcmp(key, "process"))
        return at_process(rest, g);
    if (!strcmp(key, "virtualization"))
        return g->virtualization = (int)a, n == 1;
    if (!strcmp(key, "cores"))
        return g->cores = (unsigned)a, n == 1;
    if (!strcmp(key, "architecture"))
        return g->architecture = (unsigned)a, n == 1;
    if (!strcmp(key, "compute_capability"))
        return sscanf(rest, "%d %d", &g->capability_major, &g->capability_minor) == 2;
    if (!strcmp(key, "persistence"))
        return g->persistence = (unsigned)a, n == 1;
    if (!strcmp(key, "ecc"))
        return g->ecc = (int)a, n == 1;
    return 0;
}

static int at_driver(const char *key, const char *rest)
{
    if (!strcmp(key, "real_offset_ns"))
        return sscanf(rest, "%" SCNd64, &real_offset_ns) == 1;
    int step = at_step(key, rest);

    if (step >= 0)
        return step;
    if (!strcmp(key, "dead_s"))
        return sscanf(rest, "%lf %lf %d", &dead_from_s, &dead_to_s, &dead_code) == 3;
    if (!strcmp(key, "reload"))
        return reload = 1;
    if (!strcmp(key, "answer"))
        return at_answer(rest, &driver_answers);
    if (!strcmp(key, "init"))
        return sscanf(rest, "%d", &init_code) == 1;
    if (!strcmp(key, "driver_version"))
        return sscanf(rest, "%95s", driver_version) == 1;
    if (!strcmp(key, "nvml_version"))
        return sscanf(rest, "%95s", nvml_version) == 1;
    if (!strcmp(key, "cuda_version"))
        return sscanf(rest, "%d", &cuda_version) == 1;
    return 0;
}

static int begin_gpu(void)
{
    struct gpu *g = &gpus[gpu_count];

    if (gpu_count == MAX_GPUS)
        return 0;
    g->card.gpu = g;
    g->index = gpu_count++;
    g->broken_w = g->zero_from_s = NAN;
    g->reset_s = g->reload_s = g->jump_s = g->lost_s = g->back_s = INFINITY;
    g->scale = 1;
    return 1;
}

static int read_script(void)
{
    const char *path = getenv("VIDMETER_SIM_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int number = 0;

    if (!file) {
        fprintf(stderr, "simulated driver: can't read VIDMETER_SIM_NVML=%s\n", path ? path : "");
        return UNKNOWN;
    }
    for (int i = 0; i < gpu_count; i++)
        for (int kind = 0; kind < READINGS; kind++)
            free(gpus[i].readings[kind].lagged);
    memset(gpus, 0, sizeof gpus);
    gpu_count = init_code = reload = driver_answers.count = step_count = 0;
    driver_epoch_ns = 0;
    dead_from_s = dead_to_s = INFINITY;
    while (fgets(line, sizeof line, file)) {
        char key[TEXT];
        int used = 0, ok;
        number++;
        if (sscanf(line, " %95s %n", key, &used) != 1 || key[0] == '#')
            continue;
        if (!strcmp(key, "gpu"))
            ok = begin_gpu();
        else if (gpu_count)
            ok = at_gpu(key, line + used, &gpus[gpu_count - 1]);
        else
            ok = at_driver(key, line + used);
        if (!ok) {
            fprintf(stderr, "simulated driver: %s:%d makes no sense: %s", path, number, line);
            fclose(file);
            return UNKNOWN;
        }
    }
    fclose(file);
    for (int i = 0; i < gpu_count; i++) {
        if (!gpus[i].points) {
            fprintf(stderr, "simulated driver: %s: GPU %d has no point\n", path, i);
            return UNKNOWN;
        }
        if (reload)
            gpus[i].reload_s = dead_to_s + (driver_epoch_ns - gpus[i].epoch_ns) / 1e9;
    }
    return settle() ? init_code : UNKNOWN;
}

/* ---- the interface ---- */

typedef struct device *nvmlDevice_t;

typedef union {
    double dVal;
    unsigned uiVal;
    unsigned long ulVal;
    unsigned long long ullVal;
    long long sllVal;
    int siVal;
    unsigned short usVal;
} nvmlValue_t;

typedef struct {
    unsigned fieldId, scopeId;
    long long timestamp, latencyUsec;
    unsigned valueType, nvmlReturn;
    nvmlValue_t value;
} nvmlFieldValue_t;

typedef struct {
    unsigned long long timeStamp;
    nvmlValue_t sampleValue;
} nvmlSample_t;

typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
    unsigned gpu, memory;
} nvmlUtilization_t;

typedef struct {
    unsigned version, sensorType;
    int temperature;
} nvmlTemperature_t;

typedef struct {
    unsigned pid;
    unsigned long long usedGpuMemory;
} nvmlProcessInfo_v1_t;

typedef struct { /* v3 is the same */
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_v2_t;

typedef struct {
    unsigned pid;
    unsigned long long timeStamp;
    unsigned smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;

static int lost(const struct gpu *g)
{
    double now_s = age_ns(g) / 1e9;
    return now_s >= g->lost_s && now_s < g->back_s;
}

static double driver_s(int64_t t_ns)
{
    return (t_ns - driver_epoch_ns) / 1e9;
}

/* What this process opened before the driver died stays dead. */
static int dead(void)
{
    return driver_s(monotonic_ns()) >= dead_from_s && driver_s(opened_ns) < dead_to_s;
}

static int answer_to(const struct answers *answers, const char *name)
{
    for (int i = 0; i < answers->count; i++)
        if (!strcmp(answers->of[i].name, name))
            return answers->of[i].number;
    return SUCCESS;
}

/* What a call of `name` answers before it is looked at; SUCCESS lets it go on. */
static int begin_driver(const char *name)
{
    return !users ? UNINITIALIZED : dead() ? dead_code : answer_to(&driver_answers, name);
}

/* Evenly distributed from 0 to the jitter, the same sequence for a seed (SplitMix64). */
static long jitter_us(struct gpu *g)
{
    uint64_t calls = __atomic_add_fetch(&g->calls, 1, __ATOMIC_RELAXED);
    uint64_t z = (g->seed + calls) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (long)((z ^ z >> 31) % (uint64_t)(g->jitter_us + 1));
}

static void take_time(struct gpu *g, const char *name)
{
    long us = g->delay_us + answer_to(&g->delays, name) + (g->jitter_us ? jitter_us(g) : 0);
    struct timespec rest = {us / 1000000, us % 1000000 * 1000};

    while (us && clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
        ;
}

static int begin(const char *name, const struct device *device)
{
    if (!users)
        return UNINITIALIZED;
    if (dead())
        return dead_code;
    if (!device)
        return INVALID_ARGUMENT;
    take_time(device->gpu, name);
    return lost(device->gpu) ? GPU_IS_LOST : answer_to(&device->gpu->answers, name);
}

#define BEGIN_DRIVER()                                                                             \
    do {                                                                                           \
        int code_ = begin_driver(__func__);                                                        \
        if (code_)                                                                                 \
            return code_;                                                                          \
    } while (0)

#define BEGIN(device)                                                                              \
    do {                                                                                           \
        int code_ = begin(__func__, device);                                                       \
        if (code_)                                                                                 \
            return code_;                                                                          \
    } while (0)

/* For what an instance of a card doesn't have of its own. */
#define BEGIN_CARD(device)                                                                         \
    do {                                                                                           \
        BEGIN(device);                                                                             \
        if ((device)->mig)                                                                         \
            return NOT_SUPPORTED;                                                                  \
    } while (0)

static int text(const char *value, char *out, unsigned length)
{
    if (strlen(value) + 1 > length)
        return INSUFFICIENT_SIZE;
    strcpy(out, value);
    return SUCCESS;
}

API int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    if (!users) {
        int code = read_script();
        double now_s = driver_s(monotonic_ns());
        if (code)
            return code;
        if (now_s >= dead_from_s && now_s < dead_to_s)
            return dead_code;
        opened_ns = monotonic_ns();
    } else if (dead())
        return dead_code;
    users++;
    return SUCCESS;
}

API int nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

API int nvmlShutdown(void)
{
    if (!users)
        return UNINITIALIZED;
    users--; /* also where the driver is dead, or it could never be opened anew */
    return answer_to(&driver_answers, __func__);
}

API const char *nvmlErrorString(int code)
{
    switch (code) {
    case SUCCESS:
        return "Success";
    case UNINITIALIZED:
        return "Uninitialized";
    case INVALID_ARGUMENT:
        return "Invalid Argument";
    case NOT_SUPPORTED:
        return "Not Supported";
    case NOT_FOUND:
        return "Not Found";
    case INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case GPU_IS_LOST:
        return "GPU is lost";
    default:
        return "Unknown Error";
    }
}

API int nvmlSystemGetDriverVersion(char *out, unsigned length)
{
    BEGIN_DRIVER();
    return text(driver_version, out, length);
}

API int nvmlSystemGetNVMLVersion(char *out, unsigned length)
{
    BEGIN_DRIVER();
    return text(nvml_version, out, length);
}

API int nvmlSystemGetCudaDriverVersion(int *out)
{
    BEGIN_DRIVER();
    *out = cuda_version;
    return SUCCESS;
}

API int nvmlSystemGetCudaDriverVersion_v2(int *out)
{
    BEGIN_DRIVER();
    *out = cuda_version;
    return SUCCESS;
}

API int nvmlDeviceGetCount_v2(unsigned *out)
{
    BEGIN_DRIVER();
    *out = (unsigned)gpu_count;
    return SUCCESS;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *out)
{
    BEGIN_DRIVER();
    if (index >= (unsigned)gpu_count)
        return INVALID_ARGUMENT;
    BEGIN(&gpus[index].card);
    *out = &gpus[index].card;
    return SUCCESS;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *out)
{
    BEGIN_DRIVER();
    for (int i = 0; i < gpu_count; i++) {
        struct device *found = !strcmp(gpus[i].card.uuid, uuid) ? &gpus[i].card : NULL;
        for (int j = 0; j < gpus[i].mig_count; j++)
            if (!strcmp(gpus[i].instances[j].uuid, uuid))
                found = &gpus[i].instances[j];
        if (found) {
            BEGIN(found);
            *out = found;
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *out)
{
    BEGIN_DRIVER();
    for (int i = 0; i < gpu_count; i++)
        if (!strcasecmp(gpus[i].pci, bus_id)) {
            BEGIN(&gpus[i].card);
            *out = &gpus[i].card;
            return SUCCESS;
        }
    return NOT_FOUND;
}

API int nvmlDeviceGetUUID(nvmlDevice_t device, char *out, unsigned length)
{
    BEGIN(device);
    return text(device->uuid, out, length);
}

API int nvmlDeviceGetName(nvmlDevice_t device, char *out, unsigned length)
{
    BEGIN(device);
    return text(device->gpu->name, out, length);
}

API int nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *out)
{
    BEGIN(device);
    *out = (unsigned)(device->mig ? device - device->gpu->instances : device->gpu->index);
    return SUCCESS;
}

API int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *out)
{
    BEGIN_CARD(device);
    const char *pci = device->gpu->pci;
    memset(out, 0, sizeof *out);
    strcpy(out->busId, pci);
    /* The older form has four digits of the domain. */
    snprintf(out->busIdLegacy, sizeof out->busIdLegacy, "%.15s", strlen(pci) > 4 ? pci + 4 : pci);
    sscanf(pci, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return SUCCESS;
}

API int nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *out, unsigned length)
{
    BEGIN_CARD(device);
    return text(device->gpu->vbios, out, length);
}

/* Power and energy */

static int power(struct device *device, int kind, int64_t age, unsigned *out, int64_t *at)
{
    if (device->mig || !device->gpu->readings[kind].refresh_ns)
        return NOT_SUPPORTED;
    *out = reading_mw(device->gpu, kind, age, at);
    return SUCCESS;
}

API int nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *out)
{
    int64_t at;
    BEGIN(device);
    return power(device, USAGE, age_ns(device->gpu), out, &at);
}

API int nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *out)
{
    int64_t at;
    BEGIN_CARD(device);
    if (!device->gpu->tick_ns)
        return NOT_SUPPORTED;
    *out = counter_mj(device->gpu, age_ns(device->gpu), &at);
    return SUCCESS;
}

/* Which clock event reason a field counts the nanoseconds of; 0: none. */
static unsigned long long reason_of(unsigned field)
{
    switch (field) {
    case 74:
        return 0x04; /* software power cap */
    case 76:
        return 0x10; /* sync boost */
    case 269:
        return 0x20; /* software thermal slowdown */
    case 270:
        return 0x40; /* hardware thermal slowdown */
    case 271:
        return 0x80; /* hardware power brake */
    default:
        return 0;
    }
}

static int fill(struct device *device, int64_t age, nvmlFieldValue_t *field, int64_t *at)
{
    struct gpu *g = device->gpu;
    int kind;

    switch (field->fieldId) {
    case FIELD_INSTANT:
    case FIELD_AVERAGE:
        kind = field->scopeId == SCOPE_MODULE     ? MODULE
               : field->scopeId == SCOPE_MEMORY   ? MEMORY
               : field->fieldId == FIELD_INSTANT  ? INSTANT
                                                  : AVERAGE;
        if (field->scopeId > SCOPE_MEMORY || (field->scopeId && !g->readings[kind].refresh_ns))
            return NOT_SUPPORTED;
        field->valueType = VALUE_UNSIGNED_INT;
        return power(device, kind, age, &field->value.uiVal, at);
    case FIELD_TOTAL_ENERGY:
    case FIELD_ENERGY:
        if (device->mig || !g->tick_ns || field->scopeId)
            return NOT_SUPPORTED;
        field->valueType = VALUE_UNSIGNED_LONG_LONG;
        field->value.ullVal = counter_mj(g, age, at);
        return SUCCESS;
    default:
        if (device->mig || !g->reason_counters || field->scopeId || !reason_of(field->fieldId))
            return NOT_SUPPORTED;
        field->valueType = VALUE_UNSIGNED_LONG_LONG;
        field->value.ullVal = reason_ns(g, reason_of(field->fieldId), age, at);
        return SUCCESS;
    }
}

API int nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *fields)
{
    int64_t began = monotonic_ns();
    BEGIN(device);
    if (count < 1 || !fields)
        return INVALID_ARGUMENT;
    struct gpu *g = device->gpu;
    int64_t age = age_ns(g);
    for (int i = 0; i < count; i++) {
        char name[TEXT];
        int64_t at = age;
        memset(&fields[i].value, 0, sizeof fields[i].value);
        snprintf(name, sizeof name, "field:%u", fields[i].fieldId);
        int code = answer_to(&g->answers, name);
        fields[i].nvmlReturn = (unsigned)(code ? code : fill(device, age, &fields[i], &at));
        fields[i].timestamp = g->stamps == STAMP_ZERO ? 0
                              : g->stamps == STAMP_QUERY ? stamp_us(g, age)
                                                         : stamp_us(g, at);
        fields[i].latencyUsec = (monotonic_ns() - began) / 1000;
    }
    return SUCCESS;
}

API int nvmlDeviceGetSamples(nvmlDevice_t device, int type, unsigned long long last_seen_us,
                             int *value_type, unsigned *count, nvmlSample_t *samples)
{
    BEGIN_CARD(device);
    const struct gpu *g = device->gpu;
    const struct reading *ring = type == TOTAL_POWER_SAMPLES    ? &g->readings[RING]
                                 : type == MODULE_POWER_SAMPLES ? &g->readings[MODULE_RING]
                                                                : NULL;
    if (!ring || !ring->refresh_ns)
        return NOT_SUPPORTED;
    if (!value_type || !count)
        return INVALID_ARGUMENT;
    *value_type = VALUE_UNSIGNED_INT;
    if (!samples) {
        *count = (unsigned)ring->depth;
        return SUCCESS;
    }
    int64_t age = age_ns(g), newest = floor_to(age, ring->refresh_ns);
    int64_t oldest = newest - (ring->depth - 1) * ring->refresh_ns;
    unsigned news = 0;
    while (oldest / 1e9 < g->reload_s && age / 1e9 >= g->reload_s)
        oldest += ring->refresh_ns; /* the driver before kept its samples to itself */
    for (int64_t at = oldest; at <= newest; at += ring->refresh_ns)
        news += stamp_us(g, at) > (long long)last_seen_us;
    if (!news)
        return NOT_FOUND;
    if (news > *count)
        return INSUFFICIENT_SIZE;
    news = 0;
    for (int64_t at = oldest; at <= newest; at += ring->refresh_ns) {
        long long stamp = stamp_us(g, at);
        if (stamp <= (long long)last_seen_us)
            continue;
        memset(&samples[news], 0, sizeof samples[news]);
        samples[news].timeStamp = (unsigned long long)stamp;
        samples[news++].sampleValue.uiVal = shown_mw(g, ring, at, age);
    }
    *count = news;
    return SUCCESS;
}

/* State and properties */

API int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *out)
{
    BEGIN_CARD(device);
    *out = device->gpu->temperature;
    return sensor ? NOT_SUPPORTED : SUCCESS;
}

API int nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *out)
{
    BEGIN_CARD(device);
    out->temperature = (int)device->gpu->temperature;
    return out->sensorType ? NOT_SUPPORTED : SUCCESS;
}

/* NVML's clocks: 0 graphics, 1 SM, 2 memory, 3 video. */
static int clock_of(int type, unsigned sm, unsigned memory, unsigned *out)
{
    if (type < 0 || type > 2)
        return NOT_SUPPORTED;
    *out = type == 2 ? memory : sm;
    return SUCCESS;
}

API int nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned *out)
{
    BEGIN_CARD(device);
    return clock_of(type, device->gpu->sm_clock, device->gpu->memory_clock, out);
}

API int nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int type, unsigned *out)
{
    BEGIN_CARD(device);
    return clock_of(type, device->gpu->max_sm_clock, device->gpu->max_memory_clock, out);
}

API int nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *out)
{
    BEGIN_CARD(device);
    out->gpu = device->gpu->utilization;
    out->memory = device->gpu->memory_utilization;
    return SUCCESS;
}

API int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *out)
{
    BEGIN(device);
    out->total = device->gpu->memory_total;
    out->used = device->gpu->memory_used;
    out->free = out->total - out->used;
    return SUCCESS;
}

API int nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *out)
{
    BEGIN(device);
    out->total = device->gpu->memory_total;
    out->used = device->gpu->memory_used;
    out->reserved = 0;
    out->free = out->total - out->used;
    return SUCCESS;
}

API int nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *out)
{
    BEGIN_CARD(device);
    *out = device->gpu->limit_mw;
    return SUCCESS;
}

API int nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned *out)
{
    BEGIN_CARD(device);
    *out = device->gpu->limit_mw;
    return SUCCESS;
}

API int nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned *out)
{
    BEGIN_CARD(device);
    *out = device->gpu->default_limit_mw;
    return SUCCESS;
}

API int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *out)
{
    double until;
    BEGIN_CARD(device);
    *out = reasons_at(device->gpu, age_ns(device->gpu) / 1e9, &until);
    return SUCCESS;
}

API int nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *out)
{
    double until;
    BEGIN_CARD(device);
    *out = reasons_at(device->gpu, age_ns(device->gpu) / 1e9, &until);
    return SUCCESS;
}

API int nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned *out)
{
    BEGIN_CARD(device);
    *out = device->gpu->cores;
    return SUCCESS;
}

API int nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *out)
{
    BEGIN(device);
    *out = device->gpu->architecture;
    return SUCCESS;
}

API int nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    BEGIN(device);
    *major = device->gpu->capability_major;
    *minor = device->gpu->capability_minor;
    return SUCCESS;
}

API int nvmlDeviceGetPersistenceMode(nvmlDevice_t device, int *out)
{
    BEGIN_CARD(device);
    *out = (int)device->gpu->persistence;
    return SUCCESS;
}

API int nvmlDeviceGetEccMode(nvmlDevice_t device, int *current, int *pending)
{
    BEGIN_CARD(device);
    if (device->gpu->ecc < 0)
        return NOT_SUPPORTED;
    *current = *pending = device->gpu->ecc;
    return SUCCESS;
}

API int nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, int *out)
{
    BEGIN(device);
    *out = device->gpu->virtualization;
    return SUCCESS;
}

/* Processes; those of a card are not told of its instances. */

/* `v1` and `v2`: where to write, as the version that was called has it. */
static int list(const struct device *device, int kind, unsigned *count, nvmlProcessInfo_v1_t *v1,
                nvmlProcessInfo_v2_t *v2)
{
    const struct gpu *g = device->gpu;
    double now_s = age_ns(g) / 1e9;
    unsigned found = 0, room;

    if (!count || (*count && !v1 && !v2))
        return INVALID_ARGUMENT;
    room = *count;
    for (int i = 0; i < g->process_count && !device->mig; i++) {
        const struct process *process = &g->processes[i];
        if (process->kind != kind || now_s < process->from_s || now_s >= process->to_s)
            continue;
        if (found < room && v1)
            v1[found] = (nvmlProcessInfo_v1_t){process->pid, process->memory_b};
        if (found < room && v2)
            v2[found] = (nvmlProcessInfo_v2_t){process->pid, process->memory_b, ~0u, ~0u};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

#define LISTS(function, kind)                                                                      \
    API int function(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v1_t *out)              \
    {                                                                                              \
        BEGIN(device);                                                                             \
        return list(device, kind, count, out, NULL);                                               \
    }                                                                                              \
    API int function##_v2(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v2_t *out)         \
    {                                                                                              \
        BEGIN(device);                                                                             \
        return list(device, kind, count, NULL, out);                                               \
    }                                                                                              \
    API int function##_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v2_t *out)         \
    {                                                                                              \
        BEGIN(device);                                                                             \
        return list(device, kind, count, NULL, out);                                               \
    }

LISTS(nvmlDeviceGetComputeRunningProcesses, COMPUTE)
LISTS(nvmlDeviceGetGraphicsRunningProcesses, GRAPHICS)
LISTS(nvmlDeviceGetMPSComputeRunningProcesses, MPS)

/* The last period in which a process used the card, and its mean use in it; 0: none is held. */
static unsigned last_use_pct(const struct process *process, int64_t age, int64_t *at)
{
    int64_t period = SPAN_USE_MS * INT64_C(1000000), newest = floor_to(age, period);

    for (*at = newest; *at > newest - USES_HELD * period; *at -= period) {
        double begin_s = (*at - period) / 1e9, end_s = *at / 1e9;
        double used_s = fmin(end_s, process->to_s) - fmax(begin_s, process->from_s);
        long use_pct = lround(used_s / (end_s - begin_s) * process->use_pct);
        if (use_pct > 0)
            return (unsigned)use_pct;
    }
    return 0;
}

API int nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *out,
                                        unsigned *count, unsigned long long last_seen_us)
{
    BEGIN_CARD(device);
    const struct gpu *g = device->gpu;
    int64_t age = age_ns(g), at;
    unsigned found = 0;

    if (g->mig_enabled)
        return NOT_SUPPORTED;
    if (!count)
        return INVALID_ARGUMENT;
    if (!out) {
        *count = g->process_count ? (unsigned)g->process_count : 1;
        return INSUFFICIENT_SIZE;
    }
    for (int i = 0; i < g->process_count; i++) {
        const struct process *process = &g->processes[i];
        unsigned use_pct = last_use_pct(process, age, &at);
        long long stamp = stamp_us(g, at);
        if (!use_pct || stamp <= (long long)last_seen_us)
            continue;
        if (found < *count)
            out[found] = (nvmlProcessUtilizationSample_t){process->pid, (unsigned long long)stamp,
                                                          use_pct, 0, 0, 0};
        found++;
    }
    if (!found)
        return NOT_FOUND;
    if (found > *count) {
        *count = found;
        return INSUFFICIENT_SIZE;
    }
    *count = found;
    return SUCCESS;
}

/* Instances of a card */

API int nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    BEGIN_CARD(device);
    *current = *pending = (unsigned)device->gpu->mig_enabled;
    return SUCCESS;
}

API int nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *out)
{
    BEGIN_CARD(device);
    *out = device->gpu->mig_enabled ? MAX_MIG : 0;
    return SUCCESS;
}

API int nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *out)
{
    BEGIN(device);
    *out = (unsigned)device->mig;
    return SUCCESS;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *out)
{
    BEGIN_CARD(device);
    if (index >= (unsigned)device->gpu->mig_count)
        return NOT_FOUND;
    *out = &device->gpu->instances[index];
    return SUCCESS;
}

API int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device, nvmlDevice_t *out)
{
    BEGIN(device);
    if (!device->mig)
        return INVALID_ARGUMENT;
    *out = &device->gpu->card;
    return SUCCESS;
}

/*
 * Loaded into a process with LD_PRELOAD, this steps its wall clock, and what it takes for suspends,
 * by the script of the simulated driver (VIDMETER_SIM_NVML; README.md). The kernel's own clock
 * can't be stepped in a test, and what the kernel stamps or waits for is not shifted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "steps.h"

#define API __attribute__((visibility("default")))

enum { SECOND_NS = 1000000000 };

static int (*true_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void read_script(void)
{
    const char *path = getenv("VIDMETER_SIM_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], key[96];
    int used;

    *(void **)&true_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, " %95s %n", key, &used) != 1)
            continue;
        if (!strcmp(key, "gpu"))
            break; /* what follows is a card's */
        if (!at_step(key, line + used))
            fprintf(stderr, "stepped clocks: %s makes no sense: %s", path, line);
    }
    if (file)
        fclose(file);
}

/* Before the constructor has run, the kernel is asked itself. */
static int ask(clockid_t clock, struct timespec *out)
{
    return true_gettime ? true_gettime(clock, out) : (int)syscall(SYS_clock_gettime, clock, out);
}

API int clock_gettime(clockid_t clock, struct timespec *out)
{
    int wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    int boot = clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
    struct timespec now;
    int code = ask(clock, out);

    if (code || !step_count || (!wall && !boot))
        return code;
    ask(CLOCK_MONOTONIC, &now);
    int64_t ns = out->tv_nsec +
                 ahead_ns(now.tv_sec * INT64_C(1000000000) + now.tv_nsec, boot);
    int64_t seconds = ns / SECOND_NS - (ns % SECOND_NS < 0);
    out->tv_sec += seconds;
    out->tv_nsec = ns - seconds * SECOND_NS;
    return 0;
}

API int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

API time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

API int timespec_get(struct timespec *out, int base)
{
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, out) ? base : 0;
}
